"""Forms of a backbone that `frontier` compares: fp32, int8, and both factorised."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from cache.failures import Failure
from engine.backbones.model import METADATA_KEY
from engine.backbones.preprocessing import preprocessing_named
from engine.backbones.saturation import weight_levels
from engine.factorization.convolutions import Split, split_convolutions
from engine.factorization.factorize import factorize
from engine.factorization.float_model import FloatModel
from engine.factorization.plan import choose_ranks
from engine.factorization.survey import options, responses
from engine.factorization.truth import Answers, true_answers
from engine.graphs.files import load_onnx, metadata_of, without_weights, write_onnx
from engine.graphs.model_file import data_file
from engine.precision.fast_file import write_fast
from engine.precision.handover import CalibrationPixels
from engine.quantization.quantize import quantize

# Images of those to calibrate on that splits are fitted to, as `fast` does.
_FITTED = 28


@dataclass(frozen=True)
class Forms:
    """Models by the names of their forms.

    ranks: of those that are factorised. multiplications: of an image, by form. nothing_to_split:
    whether no plan saves time. fast: which of them `--precision fast` takes here. seconds: what
    making that took, by the clock, its comparison with fp32 aside.
    """

    models: Mapping[str, Path]
    ranks: Mapping[str, dict[str, int]]
    multiplications: Mapping[str, int]
    nothing_to_split: bool
    fast: str | None
    seconds: float


def split_forms(
    path: Path,
    pixels: CalibrationPixels,
    folder: Path,
    losses: Sequence[float],
    say: Callable[[str], None],
) -> Forms:
    """Make the forms of an exported fp32 model in a folder, but for those that are there.

    losses: of the cosine that plans aim at.
    """
    state = folder / "forms.json"
    if not state.exists():
        state.write_text(json.dumps(_make(path, pixels, folder, (losses, say))))
    kept = json.loads(state.read_text())
    models = {
        name: path if name == "fp32" else _place(folder, name) for name in kept["multiplications"]
    }
    return Forms(
        models,
        kept["ranks"],
        kept["multiplications"],
        kept["nothing_to_split"],
        kept["fast"],
        kept["seconds"],
    )


def _place(folder: Path, name: str) -> Path:
    return folder / name.replace(" ", "-") / "model.onnx"


def _make(
    path: Path,
    pixels: CalibrationPixels,
    folder: Path,
    how: tuple[Sequence[float], Callable[[str], None]],
) -> dict[str, Any]:
    losses, say = how
    model = FloatModel(without_weights(load_onnx(path), path), path.resolve().parent)
    fitted = pixels.calibration[:_FITTED]
    say("one pass of the true network")
    truth = true_answers(model, fitted, len(fitted))
    ways = options(model, responses(model, fitted, truth))
    plans: dict[str, dict[str, int]] = {}
    splits: dict[str, Mapping[str, Split]] = {}
    for loss in losses:
        ranks = choose_ranks(ways, loss)
        if ranks and ranks not in plans.values():
            name = f"split {loss:g}"
            say(f"{name}: {len(ranks)} convolutions")
            plans[name], splits[name] = ranks, factorize(model, ranks, fitted, truth)
    fast, seconds = None, 0.0
    if plans:
        say("fast")
        try:
            fast, plans["fast"], seconds = _fast_forms(path, pixels, folder)
        except Failure as failure:
            say(str(failure))
    plain = _multiplications(truth.answers, {})
    counts = {"fp32": plain, "int8": plain}
    _write_int8(path, path, _place(folder, "int8"), pixels.calibration)
    for name, each in splits.items():
        say(f"writing {name}")
        floats = load_onnx(path)
        metadata = metadata_of(floats)
        split_convolutions(floats, each)
        onnx.helper.set_model_props(floats, metadata)
        in_float = _place(folder, f"{name} fp32")
        in_float.parent.mkdir(exist_ok=True)
        write_onnx(floats, in_float)
        _write_int8(path, in_float, _place(folder, f"{name} int8"), pixels.calibration)
    for name, ranks in plans.items():
        counts |= dict.fromkeys(
            (f"{name} fp32", f"{name} int8"), _multiplications(truth.answers, ranks)
        )
    return {
        "ranks": {f"{n} {p}": r for n, r in plans.items() for p in ("fp32", "int8")},
        "multiplications": counts,
        "nothing_to_split": not plans,
        "fast": fast,
        "seconds": seconds,
    }


def _fast_forms(
    path: Path, pixels: CalibrationPixels, folder: Path
) -> tuple[str, dict[str, int], float]:
    """Write what `--precision fast` takes, and the same in int8 or in float beside it.

    Returns: which of the two it takes, its ranks, and the seconds that its making took.
    """
    in_float, int8 = (_place(folder, f"fast {precision}") for precision in ("fp32", "int8"))
    for file in (in_float, int8):
        file.parent.mkdir(exist_ok=True)
    record = json.loads(metadata_of(load_onnx(path))[METADATA_KEY])
    made = write_fast(path, record, pixels, int8)
    # Where int8 did not pay, the float form was put in its place.
    floats = int8.parent / "floats" / int8.name if made.levels is not None else int8
    for source, target in ((data_file(floats), data_file(in_float)), (floats, in_float)):
        if source.exists():
            source.replace(target)
    if made.levels is None:
        _write_int8(path, in_float, int8, pixels.calibration)
    return f"fast {'fp32' if made.levels is None else 'int8'}", made.ranks, made.seconds


def _write_int8(original: Path, floats: Path, out: Path, pixels: np.ndarray) -> None:
    model = load_onnx(floats)
    record = json.loads(metadata_of(load_onnx(original))[METADATA_KEY])
    preprocessing = preprocessing_named(record["preprocessing"])
    int8 = quantize(model, preprocessing, pixels, levels=weight_levels(), file=floats)
    out.parent.mkdir(exist_ok=True)
    data_file(out).unlink(missing_ok=True)
    write_onnx(int8, out)


def _multiplications(answers: Mapping[str, Answers], ranks: Mapping[str, int]) -> int:
    """Return the multiplications of the convolutions that can be split, of an image."""
    total = 0
    for name, each in answers.items():
        outputs, inputs, down, across = each.convolution.kernel.shape
        positions = each.window.given[0] * each.window.given[1]
        rank = ranks.get(name)
        if rank is None:
            total += positions * outputs * inputs * down * across
        else:
            # The one down is at each column that the one across reads.
            total += positions * rank * (inputs * down * each.window.strides[1] + outputs * across)
    return total
