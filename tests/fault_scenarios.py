"""The commands that the fault harness strikes, each on a small cache made for it."""

import contextlib
import io
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
from cache_samples import filled, rows_of, vectors
from conftest import write_pictures, write_tiny_backbone
from fit_samples import labelled_cache

import cache.__main__
import cache.compact
import cache.rewrite
import engine.export
import engine.extract
import engine.fit_head
import engine.runner.step
from cache.store import FeatureCache

# Small parts, so that a short run has many of them.
SMALL_PARTS = ((engine.runner.step, "PART_BYTES", 4 * 24 * 6),)
SMALL_TARGETS = (
    (cache.rewrite, "TARGET_BYTES", 4 * 8 * 30),
    (cache.compact, "TARGET_BYTES", 4 * 8 * 30),
)


def no_outputs(_: Path) -> dict[str, bytes]:
    return {}


@dataclass(frozen=True)
class Scenario:
    """A command on a folder whose cache `c` is made anew for each fault.

    prepare: fills a new folder; it gets the folder of what is the same in all of them.
    argv: the command's arguments for a folder. settings: modules, names in them and values, that
    make a small case rich in steps. outputs: what else the command writes; each is whole or absent
    at any time. once: whether the command fails where it has been done before.
    """

    name: str
    module: ModuleType
    prepare: Callable[[Path, Path], None]
    argv: Callable[[Path, Path], list[str]]
    settings: tuple[tuple[ModuleType, str, int], ...] = ()
    outputs: Callable[[Path], dict[str, bytes]] = no_outputs
    once: bool = False


def prepare_extract(folder: Path, common: Path) -> None:
    """An earlier run over a quarter of the pictures is there, and its features must stay."""
    source, backbone = common / "pictures", common / "tiny.onnx"
    if not source.exists():
        write_pictures(source, 24)
        write_tiny_backbone(backbone)
    with contextlib.redirect_stdout(io.StringIO()):
        assert (
            engine.extract.main(
                [*argv_extract(folder, common), "--limit-per-class", "6", "--quiet"]
            )
            == 0
        )


def argv_extract(folder: Path, common: Path) -> list[str]:
    cut = ["--backbone", str(common / "tiny.onnx"), "--preprocessing", "torch"]
    return [str(common / "pictures"), "--cache", str(folder / "c"), *cut, "--precision", "fp32"]


def prepare_compact(folder: Path, _: Path) -> None:
    space = filled(folder / "c", parts=9)
    digests, features = vectors(90)
    space.append(digests[5:25], features[5:25])


def prepare_merge(folder: Path, _: Path) -> None:
    filled(folder / "c", parts=3)
    space = filled(folder / "d", parts=8)
    space.write_note("parity", {"cosine": 1})
    other = FeatureCache.open(folder / "d").add_space({"backbone": "other"}, 3)
    digests, features = vectors(5, 3)
    other.append(digests, features)
    other.write_dataset("few").append(rows_of(digests))


def prepare_gc(folder: Path, _: Path) -> None:
    """Rows and a space that nothing uses, among others; leftovers of killed processes."""
    space = filled(folder / "c", parts=6)
    digests, features = vectors(60)
    for seed in (3, 4, 5):
        orphans = vectors(5, seed=seed)
        space.append(
            np.concatenate([digests[:9], orphans[0]]), np.concatenate([features[:9], orphans[1]])
        )
    unused = FeatureCache.open(folder / "c").add_space({"backbone": "unused"}, 8)
    unused.append(*vectors(5, seed=6))
    (space.path / "parts" / ".tmp-1").write_bytes(b"half")


def prepare_forget(folder: Path, _: Path) -> None:
    """A dataset of two spaces, and another whose features it shares."""
    space = filled(folder / "c", parts=2)
    digests, _ = vectors(12)
    other = FeatureCache.open(folder / "c").add_space({"backbone": "other"}, 3)
    other.append(*vectors(12, 3))
    for each in (space, other):
        for few in (digests[:6], digests[6:]):
            writer = each.write_dataset("old")
            writer.append(rows_of(few))
            writer.finish()
    long_ago = time.time() - 7200  # no run is under way
    for path in (folder / "c").rglob("*"):
        os.utime(path, (long_ago, long_ago))


def prepare_fit(folder: Path, _: Path) -> None:
    labelled_cache(folder / "c", {"cat": 40, "dog": 40})


def prepare_export(folder: Path, common: Path) -> None:
    """A cache with features of pictures, and a head that was trained on them."""
    prepare_extract(folder, common)
    fit = ["--cache", str(folder / "c"), "--out", str(folder / "head"), "--no-report", "--quiet"]
    with contextlib.redirect_stdout(io.StringIO()):
        assert engine.fit_head.main(fit) == 0


def exported(folder: Path) -> dict[str, bytes]:
    """Return the one file of a classifier, whole."""
    return {path.name: path.read_bytes() for path in folder.glob("out.onnx")}


def fitted(folder: Path) -> dict[str, bytes]:
    """Return the head; its metrics, which hold seconds, are only there to be whole."""
    from engine.heads.head import load_head

    if not (folder / "head" / "head.npz").exists():
        return {}
    load_head(folder / "head")
    return {"head.npz": (folder / "head" / "head.npz").read_bytes()}


def packed(folder: Path) -> dict[str, bytes]:
    if not (folder / "out.h5").exists():
        return {}
    with h5py.File(folder / "out.h5") as file:
        found = {name: b"".join(map(bytes, file[name][()])) for name in ("features", "digests")}
    (folder / "out.h5").unlink()  # whole: the command may run again
    return found


SCENARIOS = (
    Scenario("extract", engine.extract, prepare_extract, argv_extract, SMALL_PARTS),
    Scenario(
        "compact",
        cache.__main__,
        prepare_compact,
        lambda folder, _: ["compact", str(folder / "c")],
        SMALL_TARGETS,
    ),
    Scenario(
        "merge",
        cache.__main__,
        prepare_merge,
        lambda folder, _: ["merge", str(folder / "c"), str(folder / "d")],
    ),
    Scenario(
        "gc",
        cache.__main__,
        prepare_gc,
        lambda folder, _: ["gc", str(folder / "c"), "--yes", "--min-age", "0"],
        SMALL_TARGETS,
    ),
    Scenario(
        "forget",
        cache.__main__,
        prepare_forget,
        lambda folder, _: ["forget", str(folder / "c"), "old", "--yes"],
        once=True,
    ),
    Scenario(
        "fit_head",
        engine.fit_head,
        prepare_fit,
        lambda folder, _: ["--cache", str(folder / "c"), "--out", str(folder / "head")],
        outputs=fitted,
    ),
    Scenario(
        "pack",
        cache.__main__,
        prepare_fit,
        lambda folder, _: ["pack", str(folder / "c"), str(folder / "out.h5")],
        outputs=packed,
    ),
    Scenario(
        "export",
        engine.export,
        prepare_export,
        lambda folder, _: ["--head", str(folder / "head"), "--out", str(folder / "out.onnx")],
        outputs=exported,
    ),
)
