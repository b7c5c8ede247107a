"""What became of the samples of a pass."""

from dataclasses import dataclass, field


@dataclass
class Tally:
    """What became of the samples; computed + hits + duplicates + len(rejected) in all.

    duplicates: samples whose bytes occurred earlier in the same pass.
    rejected: (path, reason) of each sample that gives no feature.
    read, decode, infer, write: seconds of work, added up over the threads.
    """

    computed: int = 0
    hits: int = 0
    duplicates: int = 0
    rejected: list[tuple[str, str]] = field(default_factory=list)
    read: float = 0.0
    decode: float = 0.0
    infer: float = 0.0
    write: float = 0.0

    def add_again(self, again: "Tally") -> None:
        """Count what became of samples that were hits until their features had gone."""
        self.computed += again.computed
        self.rejected += again.rejected
        self.hits = max(0, self.hits - again.computed - len(again.rejected))
        for stage in ("read", "decode", "infer", "write"):
            setattr(self, stage, getattr(self, stage) + getattr(again, stage))

    @property
    def done(self) -> int:
        """How many samples came through."""
        return self.computed + self.hits + self.duplicates + len(self.rejected)
