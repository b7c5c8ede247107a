"""Shares of a dataset: which of its samples are whose, where several runs write it at once."""

from dataclasses import dataclass

import xxhash

from cache.failures import UsageFailure


@dataclass(frozen=True)
class Share:
    """The index-th of `count` disjoint shares of any paths, from 0. UsageFailure if there is none.

    A path's share is its XXH3-64 modulo `count`: the same on each machine, for each source.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise UsageFailure(
                f"there is no share {self.index} of {self.count}; they count from 0 to one less "
                "than there are"
            )

    def holds(self, path: str) -> bool:
        """Tell whether a path is in this share."""
        encoded = path.encode("utf-8", "surrogatepass")
        return xxhash.xxh3_64_intdigest(encoded) % self.count == self.index

    def is_apart(self, other: "Share | None") -> bool:
        """Tell whether no path can be in both, without a look at any."""
        return other is not None and other.count == self.count and other.index != self.index
