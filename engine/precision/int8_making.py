"""The making of an int8 model out of a source's images, and what speaks against using it."""

import logging
from dataclasses import dataclass
from pathlib import Path

from cache.failures import Failure
from engine.backbones.backbone import ModelFile
from engine.precision.calibration_set import LEAST, Images, calibration_pixels
from engine.precision.parity import Parity
from engine.precision.worker import Quantized, quantize_in_child
from engine.quantization.quantize import IN_FLOAT

_log = logging.getLogger(__name__)

# What `auto` asks of int8, see docs/decisions/050.
MIN_GAIN = 1.3
MIN_COSINE_MEAN, MIN_COSINE_P1 = 0.99, 0.97
MAX_ACCURACY_LOSS = 0.02


class TooFewImages(Failure):
    """A source has too few different images to calibrate on."""


@dataclass(frozen=True)
class Int8Candidate:
    """An int8 model in a folder of its own, with what `auto` has against it."""

    file: Path
    quantized: Quantized
    objections: list[str]


def make_int8(model: ModelFile, images: Images, folder: Path) -> Int8Candidate:
    """Make the int8 form of an exported fp32 model, in `folder`.

    Raises:
        TooFewImages: as it says.
        Failure, Interrupted: see `engine.precision.worker.quantize_in_child`.
    """
    pixels = calibration_pixels(images, (model.description.height, model.description.width))
    if pixels is None:
        raise TooFewImages(f"int8 needs {LEAST} different images to calibrate on")
    # Passes in fp32, and in int8 for 0.3 of one: calibration has few in fp32, a comparison each.
    calibrated, compared = len(pixels.calibration), len(pixels.held_out)
    cost = min(IN_FLOAT, calibrated) + round(0.3 * calibrated + 1.3 * compared)
    _log.info(
        "calibrating int8, once, on %d images and comparing it with fp32 on %d others; "
        "takes about as long as %d images in fp32",
        calibrated,
        compared,
        cost,
    )
    file = folder / "int8.onnx"
    quantized = quantize_in_child(model.path, pixels, file)
    return Int8Candidate(file, quantized, objections_to(quantized.parity))


def objections_to(parity: Parity) -> list[str]:
    """Return what speaks against int8 by the thresholds of `auto`; nothing if it may be taken."""
    found = []
    if parity.gain < MIN_GAIN:
        found.append(f"{parity.gain:.2f} times as fast is below {MIN_GAIN}")
    if parity.cosine_mean < MIN_COSINE_MEAN:
        found.append(f"mean cosine {parity.cosine_mean:.4f} is below {MIN_COSINE_MEAN}")
    if parity.cosine_p1 < MIN_COSINE_P1:
        found.append(
            f"1st percentile of the cosine {parity.cosine_p1:.4f} is below {MIN_COSINE_P1}"
        )
    if parity.head is not None and parity.head.fp32 - parity.head.int8 > MAX_ACCURACY_LOSS:
        found.append(f"head accuracy {parity.head.int8:.4f} instead of {parity.head.fp32:.4f}")
    return found
