"""How much of fp32 is left in int8, measured on images that int8 was not calibrated on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from engine.heads.l2_path import fit_regularised
from engine.heads.rows import LoadedRows


@dataclass(frozen=True)
class Agreement:
    """Heads trained on fp32 and on int8 features, each asked about images it was not trained on.

    images: how many. agreement: the share that both give the same class. fp32, int8: the shares
    that are right.
    """

    images: int
    agreement: float
    fp32: float
    int8: float


@dataclass(frozen=True)
class Parity:
    """int8 features beside fp32 ones of the same images.

    images: how many were compared. cosine_...: of each image's two vectors; p1 is the first
    percentile. relative_error: |int8 - fp32| / |fp32| over all. head: None where there are not
    two classes with two images each. fp32_rate, int8_rate: images a second of the two networks,
    measured one after the other on all cores.
    """

    images: int
    cosine_mean: float
    cosine_p1: float
    cosine_min: float
    relative_error: float
    head: Agreement | None
    fp32_rate: float
    int8_rate: float

    @property
    def gain(self) -> float:
        """How many times faster int8 is."""
        return self.int8_rate / self.fp32_rate

    def summary(self) -> str:
        """Return one line."""
        head = "too few labels to compare heads"
        if self.head is not None:
            head = (
                f"heads agree on {self.head.agreement:.1%}, accuracy {self.head.int8:.4f} "
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
        head = None if values["head"] is None else Agreement(**values["head"])
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


def relative_error(expected: np.ndarray, got: np.ndarray) -> float:
    """Return |got - expected| / |expected| over all of two arrays."""
    wide = expected.astype(np.float64)
    return float(np.linalg.norm(got - wide)) / (float(np.linalg.norm(wide)) or 1.0)


def measure_parity(
    fp32: np.ndarray, int8: np.ndarray, labels: np.ndarray, *, rates: tuple[float, float]
) -> Parity:
    """Compare features, float32 (N, D), of the same images in the same order.

    labels: int64 (N,), -1 for none. rates: images a second, fp32 and int8.
    """
    cosines = cosine_similarities(fp32, int8)
    return Parity(
        images=len(fp32),
        cosine_mean=float(cosines.mean()),
        cosine_p1=float(np.percentile(cosines, 1)),
        cosine_min=float(cosines.min()),
        relative_error=relative_error(fp32, int8),
        head=_agreement(fp32, int8, labels),
        fp32_rate=rates[0],
        int8_rate=rates[1],
    )


def _agreement(fp32: np.ndarray, int8: np.ndarray, labels: np.ndarray) -> Agreement | None:
    halves = _halves(labels)
    if halves is None:
        return None
    labelled = np.concatenate(halves)
    codes = np.unique(labels[labelled], return_inverse=True)[1]
    truth = np.full(len(labels), -1)
    truth[labelled] = codes
    predicted = [_cross_predicted(features, truth, halves)[labelled] for features in (fp32, int8)]
    return Agreement(
        images=len(labelled),
        agreement=float((predicted[0] == predicted[1]).mean()),
        fp32=float((predicted[0] == truth[labelled]).mean()),
        int8=float((predicted[1] == truth[labelled]).mean()),
    )


def _halves(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return two halves of the images, each with every class that has two images or more."""
    first, second = [], []
    for label in np.unique(labels[labels >= 0]):
        places = np.flatnonzero(labels == label)
        if len(places) > 1:
            first.append(places[::2])
            second.append(places[1::2])
    return (np.concatenate(first), np.concatenate(second)) if len(first) > 1 else None


def _cross_predicted(
    features: np.ndarray, truth: np.ndarray, halves: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Return the class that a head trained on the other half gives each image: int64 (N,).

    The strength is chosen on the very images that are predicted, alike for both precisions.
    """
    predicted = np.full(len(truth), -1)
    rows = [LoadedRows(features[half], truth[half]) for half in halves]
    for train, held_out, half in ((rows[0], rows[1], halves[1]), (rows[1], rows[0], halves[0])):
        head = fit_regularised(train, held_out, int(truth.max()) + 1)
        predicted[half] = (features[half] @ head.weights + head.biases).argmax(axis=1)
    return predicted
