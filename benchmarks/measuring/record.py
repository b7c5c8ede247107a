"""The result of a benchmark: a JSON file, and a table for the terminal."""

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.measuring.machine import commit, machine, versions
from cache.failures import Failure
from cache.files import write_whole

RESULTS = Path(__file__).resolve().parents[1] / "results"


def record(name: str, options: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
    """Return what goes into a benchmark's file: its results and where they come from.

    options: as JSON values; of files only their names.
    """
    return {
        "benchmark": name,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "options": options,
        "results": results,
    }


def write_record(folder: Path, payload: dict[str, Any]) -> Path:
    """Write a benchmark's file, `NAME.json` in a folder; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{payload['benchmark']}.json"
    write_whole(path, (json.dumps(payload, indent=1) + "\n").encode("ascii"))
    return path


def read_record(folder: Path, name: str) -> dict[str, Any]:
    """Read a benchmark's file. Failure if there is none."""
    path = folder / f"{name}.json"
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise Failure(f"there is no {path}; run python -m benchmarks.{name} first") from None
    return found


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown that is also aligned: the first column left, the others right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = ["-" * width if n == 0 else "-" * (width - 1) + ":" for n, width in enumerate(widths)]

    def line(cells: Sequence[str]) -> str:
        aligned = [
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(aligned)} |"

    return "\n".join(map(line, [header, rule, *rows]))
