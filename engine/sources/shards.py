"""A data set in several files: `shards-{000..099}.tar`, `data/train-*.parquet`."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from cache.commandline.printable import printable
from cache.failures import Failure
from cache.rows import Stat
from engine.sources.base import BY_ITSELF, Listing, Location, Sample, Source, SourceOptions
from engine.sources.layout import labels_by_pattern, listing_of
from engine.sources.remote.address import RemotePath
from engine.sources.split_names import side_of_file

# A pattern that stands for more files is refused.
MAX_SHARDS = 10_000

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def is_pattern(name: str) -> bool:
    """Return whether a name may stand for several files."""
    return bool(_BRACES.search(name)) or any(sign in name for sign in "*?[")


def matches(pattern: str) -> list[Path]:
    """Return the files that a pattern with braces and `*`, `?`, `[...]` stands for, in order.

    `{000..099}` is each number with as many digits, `{train,val}` each word.

    Raises:
        Failure: one of those that braces name is not there, none matches, or too many do.
    """
    paths: list[Path] = []
    for name in expanded(pattern):
        if any(sign in name for sign in "*?["):
            paths += _glob(name)
        elif Path(name).is_file():
            paths.append(Path(name))
        else:
            raise Failure(f"there is no {printable(name)}, which {printable(pattern)} stands for")
        if len(paths) > MAX_SHARDS:
            raise Failure(f"{printable(pattern)} stands for over {MAX_SHARDS:,} files; divide it")
    if not paths:
        raise Failure(f"there is no {printable(pattern)}, nor a file that it could stand for")
    return list(dict.fromkeys(paths))


def expanded(pattern: str) -> Iterator[str]:
    """Yield the names that a pattern's braces stand for. Failure if they are too many."""
    pending, count = [pattern], 0
    while pending:
        name = pending.pop()
        braces = _BRACES.search(name)
        if braces is None:
            count += 1
            if count > MAX_SHARDS:
                raise Failure(
                    f"{printable(pattern)} stands for over {MAX_SHARDS:,} files; divide it"
                )
            yield name
            continue
        before, after = name[: braces.start()], name[braces.end() :]
        pending += [before + word + after for word in reversed(_words(braces[1], pattern))]


def _words(braces: str, pattern: str) -> list[str]:
    numbers = _RANGE.fullmatch(braces)
    if numbers is None:
        return braces.split(",")
    first, last = int(numbers[1]), int(numbers[2])
    if abs(last - first) >= MAX_SHARDS:
        raise Failure(f"{printable(pattern)} stands for over {MAX_SHARDS:,} files; divide it")
    step = 1 if last >= first else -1
    digits = len(numbers[1]) if numbers[1].startswith("0") else 1
    return [f"{number:0{digits}d}" for number in range(first, last + step, step)]


def _glob(pattern: str) -> list[Path]:
    path = Path(pattern)
    anchor = Path(path.anchor) if path.anchor else Path()
    relative = str(path.relative_to(path.anchor)) if path.anchor else pattern
    return sorted(match for match in anchor.glob(relative) if match.is_file())


class ShardsSource(Source):
    """Several files of one kind as one source, one after the other.

    The paths of its samples begin with the shard's name. Shards whose names speak of several
    splits (`train-0.tar`, `val-0.tar`) are of those. All shards are open at once.
    """

    def __init__(
        self,
        location: Location,
        paths: Sequence[Location],
        open_shard: Callable[[Location, SourceOptions], Source],
        options: SourceOptions = BY_ITSELF,
    ) -> None:
        self._shards: dict[str, Source] = {}
        # A regular expression need not match in each of them.
        each = replace(options, labels="none") if options.pattern is not None else options
        try:
            for name, path in zip(_names(paths), paths, strict=True):
                self._shards[name] = open_shard(path, each)
            super().__init__(location, self._listing(options))
            self.remote = isinstance(location, RemotePath)
        except BaseException:
            self.close()
            raise
        self.sequential = any(shard.sequential for shard in self._shards.values())

    def _listing(self, options: SourceOptions) -> Listing:
        sides = {name: side_of_file(name) for name in self._shards}
        divided = options.splits != "none" and len(set(sides.values()) - {None}) > 1
        samples, ignored, lines = list[Sample](), Counter[str](), dict[str, None]()
        for name, shard in self._shards.items():
            side = sides[name] if divided else None
            samples += [
                Sample(f"{name}/{sample.path}", sample.label, sample.split or side)
                for sample in shard.samples
            ]
            ignored.update(shard.ignored_kinds)
            lines.update(dict.fromkeys(shard.guesses))
        if divided:
            lines["the files' names are taken to say the split"] = None
        if options.pattern is not None:
            labels, line = labels_by_pattern(options.pattern, [sample.path for sample in samples])
            lines[line] = None
            samples = [
                replace(sample, label=label) for sample, label in zip(samples, labels, strict=True)
            ]
        return listing_of(samples, ignored, lines)

    def read(self, sample: Sample) -> bytes:
        """Return the bytes of a sample of one of the shards, see Source."""
        shard, inner = self._inner(sample)
        return shard.read(inner)

    def size(self, sample: Sample) -> int | None:
        """Return the size of a sample of one of the shards, see Source."""
        shard, inner = self._inner(sample)
        return shard.size(inner)

    def stat(self, sample: Sample) -> Stat | None:
        """Return the stat of the shard that a sample is in, see Source."""
        shard, inner = self._inner(sample)
        return shard.stat(inner)

    def _inner(self, sample: Sample) -> tuple[Source, Sample]:
        name, _, path = sample.path.partition("/")
        return self._shards[name], Sample(path, sample.label)

    def close(self) -> None:
        """Close all shards."""
        for shard in self._shards.values():
            shard.close()


def _names(paths: Sequence[Location]) -> list[str]:
    """Return a name without `/` for each file, its own where no other has it."""
    counts = Counter(path.name for path in paths)
    return [
        path.name if counts[path.name] == 1 else "_".join(path.parts[-2:]).replace("/", "_")
        for path in paths
    ]
