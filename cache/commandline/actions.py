"""What each command of `python -m cache` does and prints."""

import argparse
import sys
from typing import TYPE_CHECKING

from cache.commandline.command import Console
from cache.commandline.printable import printable
from cache.commandline.streams import LINE
from cache.commandline.words import command_line, counted

# Lost images that are named on the terminal; JSON has all.
_NAMED = 10

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cache.collect import Garbage
    from cache.remove import Removed
    from cache.store import FeatureCache


def run_action(arguments: argparse.Namespace, console: Console) -> int | None:
    """Do what `arguments.command` names; return its exit code, None for 0."""
    from cache.store import FeatureCache

    cache = FeatureCache.open(arguments.cache)
    return _ACTIONS[arguments.command](arguments, console, cache)


def _info(_: argparse.Namespace, console: Console, cache: "FeatureCache") -> None:
    from cache.dataset_names import IN_HAND
    from cache.describe import describe
    from cache.notes import TITLE_NOTE

    record = describe(cache)
    lines = []
    for space in record["spaces"]:
        lines.append(
            f"{space['id']}  {printable(space['title'])}: {counted(space['rows'], 'row')} of "
            f"{space['dimension']} in {counted(space['parts'], 'part')}, "
            f"{space['bytes'] / 1e6:.1f} MB"
        )
        for name, note in space["notes"].items():
            if name == TITLE_NOTE:  # it is in the line above
                continue
            text = note.get("summary", note) if isinstance(note, dict) else note
            lines.append(f"  {printable(name)}: {printable(str(text), 400)}")
        for dataset in space["datasets"]:
            classes = ", ".join(f"{printable(k, 40)} {n:,}" for k, n in dataset["classes"].items())
            if dataset["name"] == IN_HAND:
                classes = "images that a program transformed; they count where they are named"
            lines.append(
                f"  {printable(dataset['name'])}: {dataset['cached']:,} cached, "
                f"{dataset['rejected']:,} rejected; {printable(classes, 400)}"
            )
    lines += [
        f"head {printable(head['name'])}: {printable(head['text'], 400)}"
        for head in record["heads"]
    ]
    if record["leftovers"]:
        lines.append(
            f"{counted(len(record['leftovers']), 'leftover file')}, "
            f"{record['leftover_bytes'] / 1e6:.1f} MB: "
            "unfinished or set aside; `gc` removes them"
        )
    console.result(record, "\n".join(lines) or "no features yet")


def _verify(_: argparse.Namespace, console: Console, cache: "FeatureCache") -> int:
    from cache.verify import verify

    result = verify(cache)
    lines = [f"{printable(path)}: {printable(why, 500)}" for path, why in result.damaged.items()]
    by_dataset: dict[str, list[str]] = {}
    for dataset, path in result.missing:
        by_dataset.setdefault(dataset, []).append(path)
    lines += [line for dataset in by_dataset.items() for line in _missing(*dataset)]
    lines.append(
        f"{counted(result.files, 'file')}, {result.bytes / 1e6:.1f} MB: "
        f"{len(result.damaged):,} damaged, {len(result.missing):,} missing"
        + ("" if result.is_sound else "; the next extraction computes what is lost again")
    )
    record = {
        "files": result.files,
        "bytes": result.bytes,
        "damaged": [{"path": path, "reason": why} for path, why in result.damaged.items()],
        "missing": [{"dataset": dataset, "path": path} for dataset, path in result.missing],
        "set_aside": result.set_aside,
    }
    console.result(record, "\n".join(lines))
    return 0 if result.is_sound else 1


def _missing(dataset: str, paths: list[str]) -> "Iterator[str]":
    """Yield lines on the rows of a dataset that are gone or have lost their features."""
    name, lost = printable(dataset), [path for path in paths if path]
    if len(lost) < len(paths):
        yield f"{name}: rows of it are gone"
    if lost:
        named = ", ".join(map(printable, lost[:_NAMED]))
        more = f" and {len(lost) - _NAMED:,} more" if len(lost) > _NAMED else ""
        yield f"{name}: the features of {counted(len(lost), 'image')} are gone: {named}{more}"


def _compact(_: argparse.Namespace, console: Console, cache: "FeatureCache") -> None:
    from dataclasses import asdict

    from cache.compact import compact

    spaces = compact(cache)
    lines = [
        f"{space.space}: {counted(space.parts_before, 'part')} before, {space.parts_after:,} now, "
        f"{counted(space.rows_after, 'row')}"
        for space in spaces
    ]
    console.result({"spaces": [asdict(space) for space in spaces]}, "\n".join(lines) or "no parts")


def _merge(arguments: argparse.Namespace, console: Console, cache: "FeatureCache") -> None:
    from dataclasses import asdict

    from cache.merge import merge
    from cache.store import FeatureCache

    others = [FeatureCache.open(other) for other in arguments.others]
    merged = merge(cache, others)
    console.result(
        asdict(merged),
        f"{counted(merged.parts, 'part')} with {counted(merged.rows, 'new row')}, "
        f"{counted(merged.datasets, 'dataset')}",
    )


def _pack(arguments: argparse.Namespace, console: Console, cache: "FeatureCache") -> None:
    from dataclasses import asdict
    from pathlib import Path

    from cache.pack import pack

    packed = pack(cache.space(arguments.space), Path(arguments.out))
    console.result(
        {"out": arguments.out, **asdict(packed)},
        f"{printable(arguments.out)}: {counted(packed.rows, 'row')}, "
        f"{counted(len(packed.classes), 'class', 'classes')}, "
        f"{packed.bytes / 1e6:.1f} MB",
    )


def _gc(arguments: argparse.Namespace, console: Console, cache: "FeatureCache") -> None:
    from dataclasses import asdict

    from cache.collect import find_garbage
    from cache.remove import remove_garbage

    garbage = find_garbage(cache, arguments.min_age)
    record = {
        "spaces": [space.name for space in garbage.spaces],
        "rows": garbage.rows,
        "files": [str(path) for path in garbage.files],
    }
    summary = _garbage(garbage)
    if not (garbage.spaces or garbage.rows or garbage.files):
        console.result({**record, "removed": False}, "nothing to remove")
        return
    if not (arguments.yes or _confirmed("gc", f"Remove {summary}? [y/N] ")):
        console.result({**record, "removed": False}, "nothing was removed")
        return
    removed = remove_garbage(cache, garbage)
    lines = [f"removed {_garbage(removed)}"]
    if removed.left:
        lines.append(
            f"left as it is: what an extraction that has begun may use, in "
            f"{', '.join(removed.left)}"
        )
    console.result({**asdict(removed), "removed": True}, "\n".join(lines))


def _garbage(garbage: "Garbage | Removed") -> str:
    return (
        f"{counted(len(garbage.spaces), 'space')} and {counted(garbage.rows, 'feature')} that no "
        f"dataset uses, {counted(len(garbage.files), 'leftover file')}"
    )


def _forget(arguments: argparse.Namespace, console: Console, cache: "FeatureCache") -> None:
    from dataclasses import asdict

    from cache.dataset_names import dataset_named
    from cache.forget import count_rows, forget

    known = {name for space in cache.spaces() for name in space.datasets()}
    rows = count_rows(cache, dataset_named(known, arguments.dataset))
    summary = (
        f"{counted(rows.rows, 'row')} of {printable(rows.dataset)} in "
        f"{counted(len(rows.spaces), 'space')}"
    )
    if not (arguments.yes or _confirmed("forget", f"Forget {summary}? [y/N] ")):
        console.result({**asdict(rows), "removed": False}, "nothing was removed")
        return
    rows = forget(cache, rows.dataset)
    collect = command_line(console.prog, "cache", "cache", ["gc", arguments.cache])
    console.result(
        {**asdict(rows), "removed": True},
        f"forgot {summary}; features that nothing else uses are still there\n"
        f"to remove them: {collect}",
    )


def _confirmed(command: str, question: str) -> bool:
    """Ask on the terminal. Raises UsageFailure where nobody can answer."""
    from cache.failures import UsageFailure

    if not sys.stdin.isatty():
        raise UsageFailure(f"{command} asks before it removes; give --yes where nobody can answer")
    print(printable(question, LINE), end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


_ACTIONS = {
    "info": _info,
    "verify": _verify,
    "compact": _compact,
    "merge": _merge,
    "pack": _pack,
    "forget": _forget,
    "gc": _gc,
}
