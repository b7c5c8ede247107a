"""What a comparison of backbones found: rows, their frontier, lines and JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from cache.commandline.words import counted


@dataclass(frozen=True)
class Measured:
    """One backbone on a user's images.

    images: how many it was measured on. accuracy: out of fold, a mean of repeated draws of folds.
    interval: of it, 95 %. images_per_second: on all cores, decoding included; None where all
    features were cached, so that nothing was timed. model_mb: of the model's files.
    feature_bytes: an image. seconds_to_head: from nothing to a trained head for all images.
    stopped: whether it was left behind. frontier: whether no other is both as right and as quick.
    """

    backbone: str
    space: str
    precision: str
    images: int
    accuracy: float
    interval: tuple[float, float]
    images_per_second: float | None
    model_mb: float
    feature_bytes: int
    seconds_to_head: float | None
    stopped: bool = False
    frontier: bool = False

    def line(self) -> str:
        """Return it in a line."""
        low, high = self.interval
        rate = "" if self.images_per_second is None else f", {self.images_per_second:.1f} images/s"
        return (
            f"{self.backbone} ({self.precision}): accuracy {self.accuracy:.4f} "
            f"({low:.4f} to {high:.4f}) with {counted(self.images, 'image')}{rate}"
        )


@dataclass(frozen=True)
class Comparison:
    """Backbones side by side, in the order in which they were given.

    source: as it was given. images: how many it has.
    """

    source: str
    images: int
    rows: tuple[Measured, ...]

    def payload(self) -> list[dict[str, Any]]:
        """Return the JSON list of `--json`."""
        return [{**asdict(row), "interval": list(row.interval)} for row in self.rows]

    def ranked(self) -> list[Measured]:
        """Return the rows, the best first; those that were left behind last."""
        return sorted(self.rows, key=lambda row: (row.stopped, -row.accuracy))


def with_frontier(rows: Sequence[Measured]) -> list[Measured]:
    """Return rows that say whether no other is both as right and as quick."""
    return [replace(row, frontier=not any(_beats(other, row) for other in rows)) for row in rows]


def _beats(one: Measured, other: Measured) -> bool:
    if one is other or other.seconds_to_head is None:
        # One whose speed is not known is beaten by accuracy alone.
        return one is not other and one.accuracy > other.accuracy
    if one.seconds_to_head is None:
        return False
    as_good = one.accuracy >= other.accuracy and one.seconds_to_head <= other.seconds_to_head
    better = one.accuracy > other.accuracy or one.seconds_to_head < other.seconds_to_head
    return as_good and better
