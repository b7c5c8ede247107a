"""docs/limits.md out of the code's own constants: uv run python tests/limits_page.py.

With `--measure`, or `--measure CASE...`, a file just below each limit is read in a process of its
own first (Linux; `uv sync --group encoders` for HEIF); else the costs stay those of
tests/limit_costs.json. Each is kept as it is done; one that fails is told, and keeps what it had.
"""

import ast
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import limit_cases

ROOT = Path(__file__).parents[1]
PATH = ROOT / "docs" / "limits.md"
COSTS = ROOT / "tests" / "limit_costs.json"

_TOP = """\
# Limits

What a file may ask for before it is taken for an attack, and what it costs to come just below.
Made from the code by `uv run python tests/limits_page.py`; a test fails when it has fallen behind.

Whatever is beyond a limit is rejected with a reason (one image) or refused (a source, a head, a
network, a record of a cache), as far as can be before memory is taken. Memory is for each image
that is under way: one for each thread.
"""

_COSTS = """\
## What a file just below a limit costs

Each in a process of its own: the file's bytes, the seconds, and the peak of memory beyond that of
a process that has decoded a small image; the encoded file itself is in it.
"""

# Where a limit's name does not say what it is of.
MEANINGS = {
    "engine.images.limits.MAX_PIXELS": "pixels of an image, at the scale that is decoded",
    "engine.images.limits.MAX_JPEG_PIXELS": "pixels of a JPEG before it is reduced",
    "engine.images.limits.MAX_SIDE": "pixels a side",
    "engine.images.limits.MAX_DECODE_BYTES": "bytes that an image declares to need decoded",
    "engine.images.limits.MAX_SCANNED_PIXELS": "pixels times scans of a progressive JPEG",
    "engine.images.limits.MAX_SEGMENTS": "segments of a JPEG; boxes of a JPEG 2000 or JPEG XL",
    "engine.images.limits.MAX_FILL_BYTES": "fill bytes of a JPEG in a row",
    "engine.images.limits.MAX_CHUNKS": "chunks of a PNG",
    "engine.images.limits.MAX_GIF_BLOCKS": "blocks of a GIF before its first frame",
    "engine.images.limits.MAX_TAGS": "tags of a TIFF",
    "engine.images.limits.MAX_TAG_VALUES": "values of a TIFF's tag: strips or tiles",
    "engine.images.tiff._MAX_BANDS": "bands of a TIFF",
    "engine.images.limits.MAX_RLE_PIXELS": "pixels of a run-length encoded BMP",
    "engine.images.limits.MAX_PLAIN_PIXELS": "pixels of a PNM in text",
    "engine.images.limits.MAX_TILES": "tiles of a JPEG 2000",
    "engine.images.limits.MAX_LAYERS": "layers of a JPEG 2000",
    "engine.sources.base.MAX_BYTES": "bytes of one encoded image",
    "engine.sources.archive.MAX_MEMBERS": "files that a tar lists",
    "engine.sources.archive.MAX_EXPANSION": "times that an archive unpacks to its size",
    "engine.sources.archive.SMALL_BYTES": "bytes below which expansion is no matter",
    "engine.sources.zip_directory.MAX_DIRECTORY_BYTES": "bytes of what lists a zip's files",
    "engine.sources.zip_directory.MAX_ZIP_MEMBERS": "files that a zip lists",
    "engine.sources.dialect.MAX_ROWS": "rows of a table",
    "engine.sources.dialect.MAX_TABLE_BYTES": "bytes of a table",
    "engine.sources.folder_tree.MAX_FOLDERS": "folders of a source",
    "engine.sources.remote.listing.MAX_DEPTH": "folders in each other, on another file system",
    "engine.sources.load.READ_AHEAD_BYTES": "bytes of encoded images that are read ahead",
    "engine.sources.load.PIXEL_BYTES": "bytes of pixels that are decoded ahead",
    "engine.sources.metadata.MAX_METADATA_BYTES": "bytes of a folder's metadata.csv or .jsonl",
    "engine.sources.parquet.MAX_SCHEMA_BYTES": "bytes of a parquet file's schema",
    "engine.sources.parquet._MAX_PARTS": "row groups times columns of a parquet file",
    "engine.sources.parquet_columns.MAX_TEXT": "bytes of a path or label in a parquet file",
    "engine.sources.pax.MAX_DIGITS": "digits of a number in a tar's pax header",
    "engine.sources.tar_members.MAX_HEADER_BYTES": "bytes of headers of one tar member",
    "engine.sources.tar_members.MAX_GLOBALS": "global headers of a tar",
    "engine.sources.shards.MAX_SHARDS": "shards of a WebDataset",
    "engine.sources.webdataset.MAX_LABEL_BYTES": "bytes of a label's file in a WebDataset",
    "engine.heads.head._MAX_BYTES": "bytes of a head's file",
    "engine.pages.classifier._MAX_RUNTIME_BYTES": "bytes of a part of ONNX Runtime Web",
    "cache.record._MAX_BYTES": "bytes of a cache's record",
    "cache.summaries.MAX_BYTES": "bytes of the metrics of a head that `cache info` reads",
    "cache.space.MAX_DIMENSION": "numbers of a feature",
    "engine.exporters.keras_config._MAX_CONFIG": "bytes of a .keras file's description",
    "engine.exporters.keras_config._MAX_UNPACKED": "bytes that a .keras file unpacks to",
    "engine.exporters.output._MAX_BYTES": "bytes of a file that may be an earlier export",
    "engine.exporters.limits.MEMORY": "bytes of memory of an export",
    "engine.exporters.limits.MEMORY_PER_BYTE": "bytes more for each byte of the network's file",
    "engine.exporters.limits.SECONDS": "seconds of an export",
    "engine.backbones.request.MAX_SIDE": "pixels a side of a network's input",
}


# Called so, and is no limit on what a file may ask for.
_ARITHMETIC = {"engine.quantization.rounding._MAX_BIAS_STEPS"}


def limits_of_the_code():
    """Yield the dotted names of all constants that are called a limit (MAX_...)."""
    for package in ("cache", "engine", "onceover"):
        for path in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                targets = node.targets if isinstance(node, ast.Assign) else []
                names = (target.id for target in targets if isinstance(target, ast.Name))
                limits = {f"{module}.{n}" for n in names if n.strip("_").startswith("MAX_")}
                yield from sorted(limits - _ARITHMETIC)


def document():
    """Return the whole page."""
    return "\n".join([_TOP, *_constants(), "", _COSTS, *_costs(), ""])


def _constants():
    yield from ("| limit | of what | where |", "|---:|---|---|")
    for name in [*MEANINGS, *(n for n in limits_of_the_code() if n not in MEANINGS)]:
        module, _, constant = name.rpartition(".")
        value = getattr(importlib.import_module(module), constant)
        meaning = MEANINGS.get(name, "")
        yield f"| {_shown(value, meaning)} | {meaning} | `{module}.{constant}` |"


def _shown(value, meaning):
    if meaning.startswith("bytes") and value >= 2**20:
        unit, name = (2**30, "GiB") if value >= 2**30 else (2**20, "MiB")
        return f"{value / unit:,.4g} {name}"
    return f"{value:,g}" if isinstance(value, float) else f"{value:,}"


def _costs():
    yield from ("| case | bytes | seconds | MiB | outcome |", "|---|---:|---:|---:|---|")
    record = json.loads(COSTS.read_text(encoding="utf-8"))
    for name, cost in record["cases"].items():
        title = name.replace("_", " ")
        numbers = f"{cost['bytes']:,} | {cost['seconds']:.1f} | {cost['mib']:,}"
        yield f"| {title} | {numbers} | {cost['outcome']} |"
    yield f"\n{record['machine']}"


def all_cases():
    """Return the names of the cases, in the page's order."""
    return [*(case.__name__ for case in limit_cases.IMAGES), *limit_cases.CASES]


def measure(chosen):
    """Measure cases, each in a process of its own; return the names of those that failed."""
    before = json.loads(COSTS.read_text(encoding="utf-8"))["cases"]
    cases = {name: before[name] for name in all_cases() if name in before}
    failed = []
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    for name in chosen:
        outcome = subprocess.run(
            [sys.executable, limit_cases.__file__, name],
            env={**os.environ, "PYTHONPATH": path},
            check=False,
            stdout=subprocess.PIPE,
        )
        if outcome.returncode:
            failed.append(name)
            continue
        cases[name] = json.loads(outcome.stdout)
        print(name, cases[name], flush=True)
        _keep({name: cases[name] for name in all_cases() if name in cases})
    return failed


def _keep(cases):
    load = os.getloadavg()[0]
    machine = f"{os.cpu_count()} cores, load {load:.1f}: the seconds are upper bounds."
    text = json.dumps({"machine": machine, "cases": cases}, indent=1) + "\n"
    unfinished = COSTS.with_suffix(".unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(COSTS)


def main():
    """Write the page, after a measurement where one is asked for; return the exit code."""
    chosen = sys.argv[2:] or all_cases()
    failed = measure(chosen) if sys.argv[1:2] == ["--measure"] else []
    PATH.write_text(document(), encoding="utf-8")
    if failed:
        print("not measured, as said above:", *failed, file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
