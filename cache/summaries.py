"""What lies beside the features in a cache says of itself: one line each, nothing else is read."""

import json
from dataclasses import dataclass
from pathlib import Path

from cache.files import Damaged, read_regular

_NAME = "metrics.json"

# Bytes of such a file: a head of a thousand classes has two megabytes of figures.
MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Summary:
    """A folder's name, and what it says of itself; why not, where it says nothing."""

    name: str
    text: str


def list_summaries(folder: Path) -> list[Summary]:
    """Return what each sub-folder says in the entry `summary` of its `metrics.json`, by name."""
    return [Summary(path.parent.name, _summary(path)) for path in sorted(folder.glob(f"*/{_NAME}"))]


def _summary(path: Path) -> str:
    try:
        record = json.loads(read_regular(path, MAX_BYTES))
        text = record["summary"]
    except (Damaged, OSError, ValueError, RecursionError):
        return f"{_NAME} cannot be read"
    except (KeyError, TypeError):
        return f"{_NAME} has no summary"
    return str(text)
