"""How close and how fast: fp32, int8, fewer multiplications, and both, of one backbone.

python -m benchmarks.frontier SOURCE --backbone NAME

Forms and features are kept in the folder of --work, so that a second run, on a machine with nothing
else to do, measures speeds alone.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.comparison.frontier_chart import draw_frontier
from benchmarks.inputs.synthetic import make_tiny_job
from benchmarks.measuring.options import (
    add_source,
    add_work,
    benchmark_parser,
    finish,
    positive,
    results_folder,
    work_folder,
)
from benchmarks.measuring.rate import rate
from benchmarks.measuring.record import table
from benchmarks.product import labelled_pixels
from benchmarks.split_forms import Forms, split_forms
from cache.commandline.command import Console, run_command
from engine.backbones.options import add_backbone_options, request_from
from engine.backbones.store import exported_model
from engine.graphs.session import run_over, session
from engine.precision.calibration_set import HELD_OUT
from engine.precision.handover import CalibrationPixels
from engine.precision.parity import cosine_similarities

# Folds, and how often they are drawn anew: Dietterich's 5 x 2.
_FOLDS, _TIMES = 2, 5

# Images in a run whose speed is measured.
_TOGETHER = 16


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "frontier",
        "Make int8 and factorised forms of a backbone; compare their features, heads and speeds. "
        "The JSON is frontier_BACKBONE.json.",
        "PetImages.zip --weights random:0 --images 400",
    )
    add_source(parser)
    add_backbone_options(parser)
    parser.add_argument(
        "--images", type=positive, default=400, metavar="N", help="to compare on; 400"
    )
    parser.add_argument(
        "--losses",
        type=lambda text: tuple(float(part) for part in text.split(",")),
        default=(0.004, 0.012, 0.04, 0.1),
        metavar="L,L",
        help="of the cosine, added up over convolutions, that plans aim at; 0.004,0.012,0.04,0.1",
    )
    parser.add_argument("--seconds", type=float, default=3.0, metavar="S", help="a form; 3")
    parser.add_argument("--rounds", type=positive, default=2, metavar="N", help="in turns; 2")
    add_work(parser)
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    with work_folder(arguments) as work:
        if arguments.quick:
            make_tiny_job(arguments, work)
            arguments.images, arguments.losses = 40, (0.02,)
            arguments.seconds, arguments.rounds = 0.1, 1
        _measure(arguments, work, console)


def _measure(arguments: argparse.Namespace, work: Path, console: Console) -> None:
    request = request_from(arguments)
    name = Path(request.backbone).stem if request.is_file else request.backbone
    model = exported_model(request)
    folder = work / f"frontier-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    size = (model.description.height, model.description.width)
    drawn = labelled_pixels(arguments.source, HELD_OUT + arguments.images, size)
    # What a fast form is chosen by is nothing to judge it by.
    held_out = min(HELD_OUT, len(drawn.pixels) // 2)
    chosen_by = CalibrationPixels(
        drawn.calibration,
        drawn.pixels[:held_out],
        np.unique(drawn.labels[:held_out], return_inverse=True)[1],
    )
    pixels, labels = drawn.pixels[held_out:], drawn.labels[held_out:]
    forms = split_forms(model.path, chosen_by, folder, arguments.losses, console.say)
    rows = {}
    expected = None
    for form, path in forms.models.items():
        console.say(f"features of {form}")
        found = _kept(folder / f"{form}.npy", partial(_features, path, pixels))
        expected = found if expected is None else expected
        rows[form] = {
            **_closeness(expected, found),
            "heads": _heads(found, labels),
            "ranks": forms.ranks.get(form),
            "multiplications": forms.multiplications[form],
        }
    rates = _speeds(forms, pixels[:_TOGETHER], arguments)
    for form, row in rows.items():
        row["rates"] = rates[form]
        row["images_per_second"] = statistics.median(rates[form])
    results = {
        "backbone": name,
        "images": len(pixels),
        "nothing_to_split": forms.nothing_to_split,
        "fast": forms.fast,
        "making_seconds": forms.seconds,
        "forms": rows,
    }
    finish(arguments, console, f"frontier_{name}", results, summary(results))
    draw_frontier(results_folder(arguments))


def _kept(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Return the array that a file has; made first where there is none."""
    if not path.exists():
        np.save(path, make())
    return np.asarray(np.load(path))


def _features(model: Path, pixels: np.ndarray) -> np.ndarray:
    parts = run_over(session(model), pixels, ["features"])
    return np.concatenate([features for (features,) in parts])


def _closeness(expected: np.ndarray, found: np.ndarray) -> dict[str, float]:
    cosines = cosine_similarities(*(a.reshape(len(a), -1) for a in (expected, found)))
    return {
        "cosine_mean": float(cosines.mean()),
        "cosine_p1": float(np.percentile(cosines, 1)),
        "cosine_min": float(cosines.min()),
    }


def _heads(features: np.ndarray, labels: np.ndarray) -> list[float]:
    """Return the accuracies of logistic regression on each half of the images, by the other."""
    flat = features.reshape(len(features), -1)
    accuracies = []
    for seed in range(_TIMES):
        folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
        for train, test in folds.split(flat, labels):
            head = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
            head.fit(flat[train], labels[train])
            accuracies.append(float(head.score(flat[test], labels[test])))
    return accuracies


def paired(row: dict[str, Any], other: dict[str, Any]) -> tuple[float, float]:
    """Return by how many points heads are better than others, and the standard error of that."""
    gains = [100 * (a - b) for a, b in zip(row["heads"], other["heads"], strict=True)]
    return statistics.mean(gains), statistics.stdev(gains) / math.sqrt(len(gains))


def _speeds(
    forms: Forms, pixels: np.ndarray, arguments: argparse.Namespace
) -> dict[str, list[float]]:
    """Return images a second of each form, in each of the rounds, on all cores."""
    rates: dict[str, list[float]] = {form: [] for form in forms.models}
    for _ in range(arguments.rounds):
        for form, path in forms.models.items():
            runner = session(path)
            work = partial(run_over, runner, pixels, ["features"])
            rates[form].append(rate(work, len(pixels), arguments.seconds))
    return rates


def summary(results: dict[str, Any]) -> str:
    """Return the results as a table."""
    forms = results["forms"]
    fp32, int8 = forms["fp32"], forms.get("int8")
    rows = []
    for form, row in forms.items():
        speed = row["images_per_second"]
        points = "" if row is fp32 else "{:+.2f} ± {:.2f}".format(*paired(row, fp32))
        rows.append(
            [
                form,
                f"{fp32['multiplications'] / row['multiplications']:.2f}",
                f"{speed:.1f}",
                f"{speed / fp32['images_per_second']:.2f}",
                "-" if int8 is None else f"{speed / int8['images_per_second']:.2f}",
                f"{row['cosine_mean']:.4f}",
                f"{row['cosine_p1']:.4f}",
                f"{statistics.mean(row['heads']):.4f}",
                points,
            ]
        )
    header = [
        "form", "multiplications, 1 /", "images/s", "x fp32", "x int8", "cosine",
        "1st percentile", "accuracy", "points to fp32",
    ]  # fmt: skip
    lines = [f"{results['backbone']}, {results['images']} images that nothing was made by:"]
    lines.append(table(header, rows))
    if results.get("fast"):
        lines.append(f"Here `--precision fast` is the form {results['fast']}.")
    if results["nothing_to_split"]:
        lines.append("Nothing of it can be split at a gain in speed.")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
