"""A second extraction of files that have not changed: seconds, and bytes of memory an image.

    python -m benchmarks.unchanged --images 1000000 --work /big/disk

Files of few distinct contents, in folders of a thousand, are written where they are not there yet
and extracted once, which takes some minutes for a million. Then the command is run again, a few
times, and once over a handful of files, to tell what hangs on their number. Files and caches stay.
"""

import argparse
import os
import statistics
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.inputs.synthetic import write_tiny_onnx
from benchmarks.measuring.options import add_work, benchmark_parser, finish, positive
from benchmarks.measuring.process import Run, python, run
from benchmarks.measuring.record import table
from cache.commandline.command import Console, run_command
from cache.failures import Failure

_DISTINCT = 20
_IN_A_FOLDER = 1000
_FEW = 10

# Bytes of each file of the second measurement: a photograph of 200 x 200.
_LARGE = 8 * 2**10


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "unchanged",
        "Extract many small files, then again with nothing to do: seconds and memory an image.",
        "--images 1000000",
    )
    parser.add_argument("--images", type=positive, default=1_000_000, metavar="N", help="small")
    parser.add_argument("--large", type=positive, default=25_000, metavar="N", help="of 8 KB")
    parser.add_argument("--runs", type=positive, default=3, metavar="N", help="of each")
    add_work(parser)
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    if arguments.quick:
        arguments.images, arguments.large, arguments.runs = 3000, 500, 1
    work = arguments.work / ("unchanged-quick" if arguments.quick else "unchanged")
    work.mkdir(parents=True, exist_ok=True)
    write_tiny_onnx(work / "tiny.onnx")
    few = _measure(work, _FEW, 0, 1, console)
    small = _measure(work, arguments.images, 0, arguments.runs, console)
    large = _measure(work, arguments.large, _LARGE, arguments.runs, console)
    base = few["peak_mib"]
    for figures in (small, large):
        more = figures["images"] - _FEW
        figures["bytes_an_image"] = round((figures["peak_mib"] - base) * 2**20 / more, 1)
    results = {"few": few, "small": small, "large": large}
    finish(arguments, console, "unchanged", results, summary(results))


def summary(results: dict[str, Any]) -> str:
    """Return the table of a run's results."""
    rows = [
        [
            f"{figures['images']:,}",
            f"{figures['bytes_a_file']:,}",
            f"{figures['median_seconds']:.2f}",
            f"{figures['median_cpu_seconds']:.2f}",
            f"{figures['peak_mib']:.0f}",
            f"{figures['bytes_an_image']:.0f}" if "bytes_an_image" in figures else "",
        ]
        for figures in results.values()
    ]
    return table(["files", "bytes each", "s", "CPU s", "peak MiB", "bytes an image"], rows)


def _measure(work: Path, images: int, size: int, runs: int, console: Console) -> dict[str, Any]:
    """Return the figures of a run with nothing to do. size: bytes of each file; 0 for small."""
    folder = work / f"{images}-files-of-{size or 'few'}-bytes"
    cache = work / f"{folder.name}-cache"
    if not cache.exists():
        console.say(f"{images:,} files are written below {work}")
        contents = _contents(size)
        _write(folder, images, contents)
        console.say("they are extracted once")
        _extract(folder, cache, work)
    _check(_extract(folder, cache, work), images, console)  # files must have settled, and be warm
    done = [_extract(folder, cache, work) for _ in range(runs)]
    for again in done:
        _check(again, images, console)
    return {
        "images": images,
        "bytes_a_file": round(statistics.mean(map(len, _contents(size)))),
        "runs": [again.payload() for again in done],
        "median_seconds": round(statistics.median(again.seconds for again in done), 3),
        "median_cpu_seconds": round(statistics.median(r.cpu_seconds or 0 for r in done), 3),
        "peak_mib": round(max(again.peak_bytes for again in done) / 2**20, 1),
    }


def _check(done: Run, images: int, console: Console) -> None:
    report = done.result
    if (report["samples"], report["computed"], report["rejected"]) != (images, 0, []):
        raise Failure("a run that should have nothing to do had; remove the work folder")
    console.say(f"{images:,} files in {done.seconds:.2f} s")


def _extract(folder: Path, cache: Path, work: Path) -> Run:
    backbone = ["--backbone", str(work / "tiny.onnx"), "--preprocessing", "caffe"]
    command = python("engine.extract", str(folder), "--cache", str(cache), *backbone)
    environment = {**os.environ, "ONCEOVER_MODELS": str(work / "models")}
    return run([*command, "--precision", "fp32", "--json", "--quiet"], environment=environment)


def _contents(size: int) -> list[bytes]:
    """Return distinct small JPEG files, each filled up to `size` bytes."""
    rng = np.random.default_rng(0)
    contents = []
    for _ in range(_DISTINCT):
        file = BytesIO()
        pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((32, 32), Image.Resampling.BICUBIC).save(
            file, "JPEG", quality=70
        )
        contents.append(file.getvalue().ljust(size, b"\0"))
    return contents


def _write(folder: Path, images: int, contents: Sequence[bytes]) -> None:
    for number in range(images):
        inside = folder / f"class_{number // _IN_A_FOLDER:03d}"
        if number % _IN_A_FOLDER == 0:
            inside.mkdir(parents=True, exist_ok=True)
        (inside / f"image_{number:06d}.jpg").write_bytes(contents[number % len(contents)])


if __name__ == "__main__":
    sys.exit(main())
