"""The images that a model is quantised by, and the file that hands them to another process."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.failures import Failure


@dataclass(frozen=True)
class QuantizationPixels:
    """Images to quantise by: calibration and held_out, uint8 (N, H, W, 3) RGB.

    labels: of held_out, int64 (N,), -1 for none.
    """

    calibration: np.ndarray
    held_out: np.ndarray
    labels: np.ndarray

    def write(self, path: Path) -> None:
        """Write them to a .npz file."""
        np.savez(path, calibration=self.calibration, held_out=self.held_out, labels=self.labels)


def read_pixels(path: Path) -> QuantizationPixels:
    """Read what `QuantizationPixels.write` wrote. Failure if it is anything else."""
    try:
        with path.open("rb") as file:
            arrays = np.load(file, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("it is not a .npz file")
            with arrays:
                found = [arrays[name] for name in ("calibration", "held_out", "labels")]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise Failure(f"{path} holds no pixels to calibrate on: {error}") from error
    pixels = QuantizationPixels(*found)
    for name, array in (("calibration", pixels.calibration), ("held_out", pixels.held_out)):
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3 or not len(array):
            raise Failure(f"{path}: {name} is {array.dtype} {array.shape}, not uint8 (N, H, W, 3)")
    if pixels.labels.dtype.kind != "i" or pixels.labels.shape != (len(pixels.held_out),):
        raise Failure(f"{path}: labels are not one whole number for each image held out")
    return pixels
