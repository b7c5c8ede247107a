"""Is each file of a cache still what was written?"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cache.files import Damaged, file_sha256
from cache.lost import is_lost_dataset, is_lost_space
from cache.notes import read_note
from cache.part import SUFFIX, Part, open_part, set_aside
from cache.record import read_record
from cache.row_files import read_rows
from cache.segment_kind import names_its_bytes
from cache.segments import Segments, read_segments
from cache.space import Space
from cache.store import FeatureCache

# Images that a line names.
_NAMED = 3

_EXTRACT_AGAIN = "the next extraction of the same source writes it anew"


@dataclass
class Verified:
    """What was looked at, and what is wrong.

    damaged: path of a file -> what is wrong with it.
    missing: (dataset, path) of each row whose feature is not there; (dataset, "") of each dataset
    whose rows are not all there.
    set_aside: the damaged parts that were moved to their space's `damaged/`.
    """

    files: int = 0
    bytes: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    missing: list[tuple[str, str]] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.damaged or self.missing)


def verify(cache: FeatureCache) -> Verified:
    """Read every file of a cache, compare it with its checksum, and look up every row's feature.

    It may be at work while others read and extract: rows are read before the parts.

    A record that is gone, of a space or a dataset whose features or rows are there, is damaged.

    A damaged part is set aside, so that the next extraction computes its images again; a damaged
    note too. Of damaged rows nothing is served until the next extraction of that source
    replaces them; damaged records are mended by the next extraction.

    Raises:
        Failure: a newer release wrote one of the files, or one of the folders is a link.
    """
    result = Verified()
    with _noting(cache.path / "cache.json", result):
        read_record(cache.path / "cache.json", "cache")
    for folder in sorted((cache.path / "spaces").glob("*/")):
        record = folder / "space.json"
        if is_lost_space(folder):
            result.damaged[str(record)] = f"it is gone; {_EXTRACT_AGAIN}"
        if not record.exists():
            continue
        with _noting(record, result):
            space = Space.open(record.parent)
            rows = _verify_rows(space, result)
            _verify_parts(space, rows, result)
            index = space.index()
            for name, digests, paths in rows:
                there = index.contains(digests).tolist()
                result.missing += [
                    (name, path) for path, held in zip(paths, there, strict=True) if not held
                ]
            for note in space.note_paths():
                with _noting(note, result, aside=True):
                    read_note(note)
            for companion in space.companions():
                with _noting(companion, result):
                    if file_sha256(companion) not in space.companion_digests:
                        raise Damaged("it is not the file that the space is described with")
    return result


def _verify_parts(space: Space, rows: Sequence["_Wanted"], result: Verified) -> None:
    for path in space.part_paths():
        with _noting(path, result, aside=True):
            if file_sha256(path) != path.stem:
                raise Damaged("its bytes are not those that were written")
            wrong = _not_finite(open_part(path, space.id, space.dimension))
            if wrong:
                named = [
                    name
                    for _, digests, paths in rows
                    for digest, name in zip(digests, paths, strict=True)
                    if digest.tobytes() in wrong
                ]
                more = f" and {len(named) - _NAMED:,} more" if len(named) > _NAMED else ""
                raise Damaged(
                    f"{len(wrong):,} of its features are not finite (NaN or infinity), those of "
                    f"{', '.join(named[:_NAMED]) or 'images of no dataset'}{more}; the next "
                    "extraction of the source rejects such images"
                )


def _not_finite(part: Part) -> set[bytes]:
    """Return the digests of a part's features that are not finite: earlier releases kept such."""
    wrong = set[bytes]()
    for positions, features in part.read(np.arange(len(part.digests))):
        lacking = positions[~np.isfinite(features).all(axis=1)]
        wrong.update(digest.tobytes() for digest in part.digests[lacking])
    return wrong


_Wanted = tuple[str, np.ndarray, list[str]]


def _verify_rows(space: Space, result: Verified) -> list[_Wanted]:
    """Verify the rows of a space; return each dataset, with its cached digests and their paths."""
    rows = []
    for folder in sorted((space.path / "datasets").glob("*/")):
        segments = None
        if is_lost_dataset(folder):
            record = folder / "dataset.json"
            result.damaged[str(record)] = f"it is gone, with a dataset's name; {_EXTRACT_AGAIN}"
        with _noting(folder / "dataset.json", result):
            segments = read_segments(folder)
        for path in sorted(folder.glob(f"[!.]*{SUFFIX}")):
            with _noting(path, result):
                if not names_its_bytes(path):
                    raise Damaged("its bytes are not those that were written")
                read_rows(path)
        if segments is not None:
            if not segments.is_complete():
                result.missing.append((segments.name, ""))
            with contextlib.suppress(Damaged):  # it is noted
                rows.append((segments.name, *_cached(segments)))
    return rows


def _cached(segments: Segments) -> tuple[np.ndarray, list[str]]:
    cached = [row for row in segments.rows() if row.status == "cached"]
    digests = np.frombuffer(b"".join(row.digest for row in cached), np.uint8).reshape(-1, 32)
    return digests, [row.path for row in cached]


@contextlib.contextmanager
def _noting(path: Path, result: Verified, *, aside: bool = False) -> Iterator[None]:
    """Count a file, note it where the block finds it damaged, and set it aside if told to."""
    size = 0
    with contextlib.suppress(OSError):
        size = path.stat().st_size
    try:
        yield
    except FileNotFoundError:
        return  # compacted away or replaced since it was listed
    except Damaged as damage:
        result.damaged[str(path)] = str(damage)
        with contextlib.suppress(OSError):  # a read-only cache: it is reported all the same
            if aside:
                result.set_aside.append(str(set_aside(path)))
    except OSError as error:  # a disk that does not give the bytes: they may be sound
        result.damaged[str(path)] = error.strerror or str(error)
    result.files += 1
    result.bytes += size
