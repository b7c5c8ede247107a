"""HEIC files beside the same pictures as JPEG: the labels that a head gives, and images/s.

python -m benchmarks.formats SOURCE --backbone mobilenet_v2 --weights FILE

The encoder is of the group `encoders` alone: uv sync --group encoders.
"""

import argparse
import io
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from benchmarks.inputs.photographs import draw
from benchmarks.measuring.options import add_source, add_work, benchmark_parser, finish, positive
from benchmarks.measuring.process import python, run
from benchmarks.measuring.record import table
from benchmarks.product import extract, make_quick
from cache.commandline.command import Console, run_command
from cache.failures import Failure
from engine.backbones.options import add_backbone_options, request_from
from engine.images.decode import Rejected, decode
from engine.sources.open import open_source
from engine.sources.order import interleave

_FORMS = ("jpeg", "heic")
_QUALITY = 75  # about what telephones give HEIC


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "formats",
        "Train a head on photographs, then extract and label others of them, as they are and "
        "encoded as HEIC.",
        "PetImages.zip --backbone mobilenet_v2 --weights mobilenet_v2.h5",
    )
    add_source(parser)
    add_backbone_options(parser)
    parser.add_argument("--images", type=positive, default=200, metavar="N", help="of each format")
    parser.add_argument("--train", type=positive, default=800, metavar="N", help="for the head")
    add_work(parser)
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise Failure("there is no pillow-heif; run: uv sync --group encoders") from None
    register_heif_opener()
    work = arguments.work / "formats"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    if arguments.quick:
        make_quick(arguments, work)
        arguments.images, arguments.train = 20, 60
    source = Path(arguments.source) if arguments.source else draw(work / "drawn", 1000, (375, 500))
    options = [*request_from(arguments).options(), "--precision", "fp32"]
    console.say(f"{arguments.images} photographs as HEIC")
    _write(source, work, arguments.train, arguments.images)
    extract(work / "train", work / "cache", options)
    head = work / "head"
    run(python("engine.fit_head", "--cache", str(work / "cache"), "--out", str(head), "--quiet"))
    rates, labels = {}, {}
    for form in _FORMS:
        done = extract(work / form, work / f"cache-{form}", options)
        rates[form] = done["report"]["images_per_second"]
        predict = python("engine.predict", str(work / form), "--head", str(head), "--json")
        answers = json.loads(run([*predict, "--quiet"]).output)
        labels[form] = {Path(a["path"]).stem: a["label"] for a in answers}
    same = sum(labels["jpeg"][name] == labels["heic"][name] for name in labels["jpeg"])
    sizes = {form: sum(p.stat().st_size for p in (work / form).rglob("*.*")) for form in _FORMS}
    results = {
        "same_labels": same,
        "images": len(labels["jpeg"]),
        "images_per_second": rates,
        "bytes": sizes,
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }
    finish(arguments, console, "formats", results, summary(results))


def summary(results: dict[str, Any]) -> str:
    """Return how many labels are the same, and the table of a run's results."""
    sizes, rates = results["bytes"], results["images_per_second"]
    rows = [[form, f"{sizes[form]:,}", f"{rates[form]:.1f}"] for form in _FORMS]
    same = f"{results['same_labels']} of {results['images']} labels are the same"
    return f"{same}\n\n{table(['format', 'bytes', 'images/s'], rows)}"


def _write(source: Path, work: Path, train: int, images: int) -> None:
    """Write the first photographs of each class for the head, and others in both formats."""
    number = 0
    with open_source(source) as opened:
        for sample in interleave(opened.samples, 0):
            data = opened.read(sample)
            try:
                decode(data, (8, 8), "bilinear")
            except Rejected:
                continue
            number += 1
            if number > train + images:
                return
            for form in ("train",) if number <= train else _FORMS:
                folder = work / form / str(sample.label)
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{number}.{'heic' if form == 'heic' else 'jpg'}").write_bytes(
                    _heic(data) if form == "heic" else data
                )


def _heic(data: bytes) -> bytes:
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    file = io.BytesIO()
    upright.save(file, "HEIF", quality=_QUALITY)
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(main())
