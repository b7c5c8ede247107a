"""How should features be stored? Prints a table, writes results/cache_encodings.json.

    python -m engine.extract PetImages.zip --cache pets --backbone mobilenet_v2 ...
    python -m benchmarks.cache_encodings pets [other caches ...]

Takes the features of each space of the caches, real ones, and stores them in each of the ways that
are thought of: contiguous or in chunks, packed or not, float32 or float16. Blosc2 and Zstandard are
measured where the package hdf5plugin is installed. Files are in the page cache when they are read.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.record import RESULTS, record, write_record
from cache.store import FeatureCache, Space

REPEATS = 3

# Rows that are read one by one, as a split or a shuffled pass wants them.
PICKED = 200

# Features are repeated up to about this size, so that times are more than noise.
_BYTES = 100e6


@dataclass(frozen=True)
class Encoding:
    """A way to store features: a type, rows a chunk (None: contiguous; 0: about 1 MiB), filters."""

    name: str
    dtype: str = "<f4"
    rows: int | None = None
    filters: Mapping[str, Any] = field(default_factory=dict)


def encodings() -> Iterator[Encoding]:
    """Yield the ways to store features that can be had here."""
    yield Encoding("contiguous")
    yield Encoding("chunks of 1 MiB", rows=0)
    yield Encoding("chunks of 1 row", rows=1)
    packers: dict[str, Mapping[str, Any]] = {
        "lzf": {"compression": "lzf"},
        "lzf, shuffled": {"compression": "lzf", "shuffle": True},
        "gzip-1": {"compression": "gzip", "compression_opts": 1},
        "gzip-1, shuffled": {"compression": "gzip", "compression_opts": 1, "shuffle": True},
    }
    if find_spec("hdf5plugin"):
        hdf5plugin = import_module("hdf5plugin")
        packers["zstd-1, shuffled"] = {"shuffle": True, **hdf5plugin.Zstd(clevel=1)}
        packers["blosc2 zstd-1, shuffled"] = hdf5plugin.Blosc2("zstd", 1, hdf5plugin.Blosc2.SHUFFLE)
        packers["blosc2 lz4, shuffled"] = hdf5plugin.Blosc2("lz4", 5, hdf5plugin.Blosc2.SHUFFLE)
    for name, filters in packers.items():
        yield Encoding(f"{name}, 1 MiB", rows=0, filters=filters)
    yield Encoding("gzip-1, shuffled, 1 row", rows=1, filters=packers["gzip-1, shuffled"])
    yield Encoding("float16, contiguous", "<f2")
    for name in ("gzip-1, shuffled", "blosc2 zstd-1, shuffled"):
        if name in packers:
            yield Encoding(f"float16, {name}, 1 MiB", "<f2", 0, packers[name])


def main() -> int:
    """Measure and report; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("caches", metavar="CACHE", nargs="+", help="caches with real features")
    options = parser.parse_args()
    spaces = [space for path in options.caches for space in FeatureCache.open(path).spaces()]
    results = {"spaces": [_measure_space(space) for space in spaces]}
    names = [Path(path).name for path in options.caches]
    write_record(RESULTS, record("cache_encodings", {"caches": names}, results))
    return 0


def _measure_space(space: Space) -> dict[str, Any]:
    features = np.concatenate([values.copy() for _, values in space.index().blocks()])
    facts = {
        "space": space.title,
        "images": len(features),
        "dimension": space.dimension,
        "zeros": float((features == 0).mean()),
        "largest": float(np.abs(features).max()),
        "float16": _float16(features),
    }
    print(f"\n{facts}")
    print(f"{'':<42}{'size':>7}{'write':>8}{'read':>8}{'pick a row':>12}")
    print(f"{'':<42}{'':>7}{'GB/s':>8}{'GB/s':>8}{'us':>12}")
    repeated = np.concatenate([features] * max(1, int(_BYTES / features.nbytes)))
    rows = []
    for encoding in encodings():
        row = _measure(encoding, repeated)
        rows.append({"encoding": encoding.name, **row})
        print(
            f"{encoding.name:<42}{row['size']:>7.3f}{statistics.median(row['write']):>8.2f}"
            f"{statistics.median(row['read']):>8.2f}{statistics.median(row['pick']):>12.0f}",
            flush=True,
        )
    return {**facts, "encodings": rows}


def _float16(features: np.ndarray) -> dict[str, float]:
    """Return what rounding to float16 changes."""
    with np.errstate(over="ignore"):
        rounded = features.astype(np.float16).astype(np.float32)
    norms = np.linalg.norm(features, axis=1) * np.linalg.norm(rounded, axis=1)
    cosines = (features * rounded).sum(axis=1) / np.maximum(norms, 1e-30)
    lost = (rounded == 0) & (features != 0)
    return {
        "least cosine": float(cosines.min()),
        "overflown": int(np.isinf(rounded).sum()),
        "become zero": float(lost.mean()),
    }


def _measure(encoding: Encoding, features: np.ndarray) -> dict[str, Any]:
    """Return size as a share of float32's, GB/s of float32 written and read, us to pick a row."""
    rows, dimension = features.shape
    stored = features.astype(encoding.dtype)
    chunk = encoding.rows or max(1, 2**20 // (4 * dimension))
    chunks = None if encoding.rows is None else (min(chunk, rows), dimension)
    picked = np.random.default_rng(0).choice(rows, PICKED, replace=False)
    found: dict[str, Any] = {"write": [], "read": [], "pick": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.h5"
        for _ in range(REPEATS):
            path.unlink(missing_ok=True)
            write = _seconds(lambda: _store(path, stored, chunks, encoding.filters))
            read = _seconds(lambda: _load(path, features.shape))
            pick = _seconds(lambda: _pick(path, picked))
            found["write"].append(features.nbytes / 1e9 / write)
            found["read"].append(features.nbytes / 1e9 / read)
            found["pick"].append(pick / PICKED * 1e6)
        found["size"] = path.stat().st_size / features.nbytes
    return found


def _store(
    path: Path,
    stored: np.ndarray,
    chunks: tuple[int, int] | None,
    filters: Mapping[str, Any],
) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=stored, chunks=chunks, **filters)


def _load(path: Path, shape: tuple[int, ...]) -> None:
    """Read all of it as float32, about 1 MiB at a time, into one array."""
    out = np.empty(shape, np.float32)
    step = max(1, 2**20 // (4 * shape[1]))
    with h5py.File(path) as file:
        features = file["features"]
        for start in range(0, shape[0], step):
            end = min(start + step, shape[0])
            if features.dtype == out.dtype:
                features.read_direct(out[start:end], np.s_[start:end])
            else:  # NumPy converts float16 faster than HDF5 does
                out[start:end] = features[start:end]


def _pick(path: Path, picked: np.ndarray) -> None:
    with h5py.File(path) as file:
        features = file["features"]
        for row in picked:
            features[row]


def _seconds(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
