"""How much of fp32 is left in another precision, on images that it was not made by."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from engine.precision.paired_heads import PairedHeads, compare_heads


@dataclass(frozen=True)
class Parity:
    """Features of another precision beside fp32 ones of the same images.

    images: how many were compared. cosine_...: of each image's two vectors; p1 is the first
    percentile. relative_error: |other - fp32| / |fp32| over all. head: None where there are not
    two classes with two images each. fp32_rate, rate: images a second of the two networks,
    measured in turns, by the processor time of all cores.
    """

    images: int
    cosine_mean: float
    cosine_p1: float
    cosine_min: float
    relative_error: float
    head: PairedHeads | None
    fp32_rate: float
    rate: float

    @property
    def gain(self) -> float:
        """How many times as fast as fp32 it is."""
        return self.rate / self.fp32_rate

    def summary(self) -> str:
        """Return one line."""
        head = "too few labels to compare heads"
        if self.head is not None:
            head = (
                f"heads agree on {self.head.agreement:.1%}, accuracy {self.head.other:.4f} "
                f"(fp32 {self.head.fp32:.4f})"
            )
        return (
            f"cosine to fp32 {self.cosine_mean:.4f} mean, {self.cosine_p1:.4f} 1st percentile, "
            f"{self.cosine_min:.4f} least of {self.images} other images, relative error "
            f"{self.relative_error:.3f}; {head}; {self.gain:.2f} times as fast"
        )

    def payload(self) -> dict[str, Any]:
        """Return all figures as JSON values."""
        return {**asdict(self), "gain": self.gain}

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> "Parity":
        """Return what `payload` gave. Raises KeyError or TypeError for anything else."""
        values = {name: payload[name] for name in cls.__dataclass_fields__}
        head = None if values["head"] is None else PairedHeads(**values["head"])
        return cls(**{**values, "head": head})


def cosine_similarities(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the cosine of each two vectors, float64 (N,), of float32 (N, D) twice.

    Two equal vectors have 1, of zeros too; one of zeros and another have 0.
    """
    wide, narrow = one.astype(np.float64), other.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1) * np.linalg.norm(narrow, axis=1)
    dots = np.einsum("ij,ij->i", wide, narrow)
    same = (one == other).all(axis=1)
    return np.where(same, 1.0, dots / np.where(lengths > 0, lengths, 1.0))


def first_percentile(values: np.ndarray) -> float:
    """Return the first percentile of values (N,), as `np.percentile`, whose import takes 40 ms."""
    return float(np.interp(0.01 * (len(values) - 1), np.arange(len(values)), np.sort(values)))


def relative_error(expected: np.ndarray, got: np.ndarray) -> float:
    """Return |got - expected| / |expected| over all of two arrays."""
    wide = expected.astype(np.float64)
    return float(np.linalg.norm(got - wide)) / (float(np.linalg.norm(wide)) or 1.0)


def measure_parity(
    fp32: np.ndarray, other: np.ndarray, labels: np.ndarray, *, rates: tuple[float, float]
) -> Parity:
    """Compare features, float32 (N, D), of the same images in the same order.

    labels: int64 (N,), -1 for none. rates: images a second, of fp32 and of the other.
    """
    cosines = cosine_similarities(fp32, other)
    return Parity(
        images=len(fp32),
        cosine_mean=float(cosines.mean()),
        cosine_p1=first_percentile(cosines),
        cosine_min=float(cosines.min()),
        relative_error=relative_error(fp32, other),
        head=compare_heads(fp32, other, labels),
        fp32_rate=rates[0],
        rate=rates[1],
    )
