"""What the process that makes an int8 model is handed, and what it hands back.

Nothing here imports onnx at once: a command that waits for that process does without.
"""

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cache.failures import Failure
from engine.graphs.model_file import Digests, size_on_disk
from engine.precision.parity import Parity
from engine.process.child import run_in_child

# Bytes of a model that is made int8 in this process: VGG16's convolutions have 59 million, and
# what is left of them when the pass begins is a fraction of what the pass itself needs.
_SMALL = 2**26


class Pixels(Protocol):
    """Images to make a model by, of which those held out may be decoded as they are asked for."""

    @property
    def calibration(self) -> np.ndarray:
        """uint8 (N, H, W, 3) RGB."""

    def first(self, count: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Return the first `count` images held out, None for all, and their labels.

        uint8 (N, H, W, 3), int64 (N,), -1 for no label; fewer where there are no more.
        """


@dataclass(frozen=True)
class CalibrationPixels:
    """Images to make a model by: calibration and held_out, uint8 (N, H, W, 3) RGB.

    labels: of held_out, int64 (N,), -1 for none.
    """

    calibration: np.ndarray
    held_out: np.ndarray
    labels: np.ndarray

    def first(self, count: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Return the first `count` images held out, None for all, and their labels."""
        return self.held_out[:count], self.labels[:count]

    def write(self, path: Path) -> None:
        """Write them to a .npz file."""
        np.savez(path, calibration=self.calibration, held_out=self.held_out, labels=self.labels)


def read_pixels(path: Path) -> CalibrationPixels:
    """Read what `CalibrationPixels.write` wrote. Failure if it is anything else."""
    try:
        with path.open("rb") as file:
            arrays = np.load(file, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("it is not a .npz file")
            with arrays:
                read = [arrays[name] for name in ("calibration", "held_out", "labels")]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise Failure(f"{path} holds no pixels to calibrate on: {error}") from error
    pixels = CalibrationPixels(*read)
    for name, array in (("calibration", pixels.calibration), ("held_out", pixels.held_out)):
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3 or not len(array):
            raise Failure(f"{path}: {name} is {array.dtype} {array.shape}, not uint8 (N, H, W, 3)")
    if pixels.labels.dtype.kind != "i" or pixels.labels.shape != (len(pixels.held_out),):
        raise Failure(f"{path}: labels are not one whole number for each image held out")
    return pixels


@dataclass(frozen=True)
class ComparedFeatures:
    """Features of the first images held out, float32 (N, D): the fp32 model's and the other's."""

    fp32: np.ndarray
    other: np.ndarray

    def write(self, path: Path) -> None:
        """Write them to a .npz file."""
        np.savez(path, fp32=self.fp32, other=self.other)


def features_file(model: Path) -> Path:
    """Return where the features are that a model was compared by."""
    return model.with_suffix(".features.npz")


def read_features(path: Path) -> ComparedFeatures:
    """Read what `ComparedFeatures.write` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return ComparedFeatures(arrays["fp32"], arrays["other"])


@dataclass(frozen=True)
class Quantized:
    """A model that was made by images, int8 or fast.

    digests: of its files. levels: the largest magnitude of its int8 weights, see
    `backbones.saturation`; None where it is not int8. calibrated_on: how many images.
    seconds: what the making took, parity aside. ranks: of a fast model's convolutions.
    """

    digests: Digests
    levels: int | None
    calibrated_on: int
    seconds: float
    parity: Parity
    ranks: Mapping[str, int] | None = None

    def payload(self) -> dict[str, Any]:
        """Return all figures as JSON values."""
        return {
            **self.digests.record("sha256", "data_sha256"),
            "levels": self.levels,
            "calibrated_on": self.calibrated_on,
            "seconds": round(self.seconds, 3),
            "parity": self.parity.payload(),
            "summary": self.parity.summary(),
            **({} if self.ranks is None else {"ranks": dict(self.ranks)}),
        }

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> "Quantized":
        """Return what `payload` gave. Raises KeyError or TypeError for anything else."""
        return cls(
            Digests(payload["sha256"], payload.get("data_sha256")),
            payload["levels"],
            payload["calibrated_on"],
            payload["seconds"],
            Parity.of_payload(payload["parity"]),
            payload.get("ranks"),
        )


def make_model(path: Path, pixels: Pixels, out: Path, precision: str) -> Quantized:
    """Write the int8 or fast form of an exported fp32 model to `out`.

    In a process of its own, which takes its memory with it when it ends; here where a model is so
    small that the start of a process would not be worth it.

    Raises:
        Failure, Interrupted: see `quantize_in_child`.
    """
    if size_on_disk(path) > _SMALL or precision == "fast":
        whole = CalibrationPixels(pixels.calibration, *pixels.first(None))
        return quantize_in_child(path, whole, out, precision)
    from engine.precision.worker import quantize_file  # imports onnx

    return quantize_file(path, pixels, out, precision)


def quantize_in_child(
    path: Path, pixels: CalibrationPixels, out: Path, precision: str = "int8"
) -> Quantized:
    """Write the int8 or fast form of an exported fp32 model to `out`, in a process of its own.

    It takes the fp32 network's memory with it when it ends.

    Raises:
        Failure: see `engine.precision.worker.quantize_file`, or it was killed.
        Interrupted: Ctrl-C reached it.
    """
    handed_over = out.with_name("pixels.npz")
    pixels.write(handed_over)
    arguments = [str(path), "--pixels", str(handed_over), "--out", str(out)]
    arguments += ["--precision", precision]
    return Quantized.of_payload(
        json.loads(run_in_child("engine.precision", arguments, f"the making of {precision}"))
    )
