"""What a cache holds, as numbers."""

from collections import Counter
from dataclasses import asdict
from typing import Any

from cache.collect import leftovers
from cache.record import VERSION
from cache.space import Space
from cache.store import FeatureCache
from cache.summaries import list_summaries


def describe(cache: FeatureCache) -> dict[str, Any]:
    """Return the JSON object of `cache info`."""
    files = leftovers(cache)
    return {
        "path": str(cache.path),
        "version": VERSION,
        "spaces": [_describe_space(space) for space in cache.spaces()],
        "heads": [asdict(summary) for summary in list_summaries(cache.path / "heads")],
        "leftovers": [str(path) for path in files],
        "leftover_bytes": sum(path.stat().st_size for path in files if path.exists()),
    }


def _describe_space(space: Space) -> dict[str, Any]:
    parts = space.parts()
    return {
        "id": space.id,
        "title": space.title,
        "description": dict(space.description),
        "dimension": space.dimension,
        "parts": len(parts),
        "rows": sum(len(part.digests) for part in parts),
        "bytes": sum(path.stat().st_size for path in space.path.rglob("*") if path.is_file()),
        "notes": space.notes(),
        "datasets": [_describe_dataset(space, name) for name in space.datasets()],
    }


def _describe_dataset(space: Space, name: str) -> dict[str, Any]:
    rows = space.rows([name])
    status = Counter(row.status for row in rows)
    classes = Counter(row.label for row in rows if row.status == "cached" and row.label is not None)
    return {
        "name": name,
        "rows": len(rows),
        "cached": status["cached"],
        "rejected": status["rejected"],
        "classes": dict(sorted(classes.items())),
    }
