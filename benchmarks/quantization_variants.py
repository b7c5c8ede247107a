"""Ways to quantise a backbone, the shipped one among them."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
from onnxruntime.quantization.calibrate import create_calibrator

from benchmarks.equalisation import equalise
from engine.backbones.preprocessing import Preprocessing
from engine.backbones.saturation import FULL_LEVELS, REDUCED_LEVELS
from engine.graphs.session import BATCH_SIZE, run_over, session
from engine.precision.parity import relative_error
from engine.quantization.network import Activations, float_network
from engine.quantization.plan import WEIGHTED, Plan, plan_quantization
from engine.quantization.quantize import IN_FLOAT, integer_form, over_more_images
from engine.quantization.ranges import calibrate
from engine.quantization.rounding import round_layers

# Layers that are left in float by sensitivity: as many as at the two ends.
_SENSITIVE = 4


@dataclass(frozen=True)
class Variant:
    """A way to quantise. What differs from the first is what its name says."""

    name: str
    folded: bool = True
    corrected: bool = True
    method: CalibrationMethod | None = None
    percentile: float | None = None
    keep: str = ""
    equalised: bool = False
    levels: int = FULL_LEVELS
    in_float: bool = False  # ranges of all images in fp32


VARIANTS = (
    Variant("as shipped: MinMax, pixels folded, biases corrected"),
    Variant("as shipped, all ranges in fp32", in_float=True),
    Variant("MinMax alone", folded=False, corrected=False),
    Variant("pixels folded", corrected=False),
    Variant("biases corrected", folded=False),
    Variant(
        "as shipped, percentile 99.999",
        method=CalibrationMethod.Percentile,
        percentile=99.999,
    ),
    Variant(
        "as shipped, percentile 99.99",
        method=CalibrationMethod.Percentile,
        percentile=99.99,
    ),
    Variant(
        "as shipped, percentile 99.9",
        method=CalibrationMethod.Percentile,
        percentile=99.9,
    ),
    Variant("as shipped, entropy", method=CalibrationMethod.Entropy),
    Variant("first three and last convolution float", keep="ends"),
    Variant("the same, MinMax alone", keep="ends", folded=False, corrected=False),
    Variant("depthwise convolutions float", keep="depthwise"),
    Variant("the same, MinMax alone", keep="depthwise", folded=False, corrected=False),
    Variant("the four most sensitive layers float", keep="sensitive"),
    Variant("cross-layer equalisation", equalised=True),
    Variant("the same, MinMax alone", equalised=True, folded=False, corrected=False),
    Variant("the same, nothing quantised", keep="all", equalised=True, folded=False),
    Variant("as shipped, 7-bit weights", levels=REDUCED_LEVELS),
)


def variants_for(path: Path) -> list[Variant]:
    """Return the variants that say something of a model: some are about layers that it lacks."""
    graph = onnx.load(path).graph
    return [v for v in VARIANTS if v.keep != "depthwise" or _floats(graph, v.keep)]


def quantized(
    path: Path,
    preprocessing: Preprocessing,
    calibration: np.ndarray,
    variant: Variant,
    sensitive: Sequence[str] = (),
) -> onnx.ModelProto:
    """Return the int8 form of an exported fp32 model by a variant.

    sensitive: outputs of the layers that a variant with `keep="sensitive"` leaves in float.
    """
    model = onnx.load(path)
    if variant.equalised:
        equalise(model)
    floats = sensitive if variant.keep == "sensitive" else _floats(model.graph, variant.keep)
    network = float_network(model, preprocessing, keep_float=floats, fold=variant.folded)
    few = variant.method is None and not variant.in_float
    activations = calibrate(network, calibration[:IN_FLOAT] if few else calibration)
    if variant.method is not None:
        ranges = _ranges(model, network.plan, calibration, variant)
        activations = {
            site: replace(found, low=ranges[site][0], high=ranges[site][1])
            if site in ranges
            else found
            for site, found in activations.items()
        }
    if not variant.corrected:
        activations = {site: _without_means(found) for site, found in activations.items()}
    layers = round_layers(network, activations, levels=variant.levels)
    if few:
        activations = over_more_images(network, activations, layers, calibration)
    return integer_form(network, activations, layers)


def most_sensitive(path: Path, preprocessing: Preprocessing, calibration: np.ndarray) -> list[str]:
    """Return the outputs of the layers whose rounding costs most, the worst first.

    Measured: each layer with weights alone is left in float, and what is then the features'
    distance from fp32 on the calibration images is compared.
    """
    expected = features(session(path), calibration)
    model = onnx.load(path)
    network = float_network(model, preprocessing)
    activations = calibrate(network, calibration)
    errors = {}
    for node in model.graph.node:
        if node.op_type in WEIGHTED:
            one_less = replace(network, plan=plan_quantization(model.graph, [node.output[0]]))
            known = {site: activations[site] for site in one_less.plan.sites}
            layers = round_layers(one_less, known, levels=FULL_LEVELS)
            int8 = integer_form(one_less, known, layers)
            got = features(session(int8.SerializeToString()), calibration)
            errors[node.output[0]] = relative_error(expected, got)
    return sorted(errors, key=errors.__getitem__)[:_SENSITIVE]


def _floats(graph: onnx.GraphProto, keep: str) -> list[str]:
    """Return the outputs of the convolutions to leave in float."""
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    if keep == "ends":
        return [node.output[0] for node in [*convolutions[:3], *convolutions[-1:]]]
    if keep == "depthwise":
        return [
            node.output[0]
            for node in convolutions
            if any(a.name == "group" and a.i > 1 for a in node.attribute)
        ]
    if keep == "all":
        return [node.output[0] for node in graph.node if node.op_type in WEIGHTED]
    return []


def _without_means(found: Activations) -> Activations:
    return found if found.means is None else replace(found, means=np.zeros_like(found.means))


class _Batches(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime has no types
    """Pixels as ONNX Runtime's calibrators read them."""

    def __init__(self, pixels: np.ndarray) -> None:
        self._rest: Iterator[np.ndarray] = iter(
            np.split(pixels, range(BATCH_SIZE, len(pixels), BATCH_SIZE))
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._rest, None)
        return None if batch is None else {"images": batch}


def _ranges(
    model: onnx.ModelProto, plan: Plan, calibration: np.ndarray, variant: Variant
) -> dict[str, tuple[float, float]]:
    """Return the ranges that a calibrator of ONNX Runtime finds."""
    options: dict[str, Any] = {"symmetric": False}
    if variant.percentile is not None:
        options["percentile"] = variant.percentile
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        calibrator = create_calibrator(
            path,
            None,
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=variant.method,
            extra_options=options,
        )
        calibrator.collect_data(_Batches(calibration))
        found = calibrator.compute_data()
    return {
        site: (float(np.min(data.range_value[0])), float(np.max(data.range_value[1])))
        for site, data in found.items()
        if site in plan.sites
    }


def features(runner: Any, pixels: np.ndarray) -> np.ndarray:
    """Return the features of pixels, float32 (N, D), from a session of a backbone."""
    return np.concatenate([found for (found,) in run_over(runner, pixels, ["features"])])
