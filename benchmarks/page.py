"""Write docs/benchmarks.md, precision.md, backbones.md and README's figures out of the results.

python -m benchmarks.page
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import Any

from benchmarks import (
    augmentation,
    backbones,
    calibration,
    compare,
    extraction,
    formats,
    frontier,
    head,
    overhead,
    parity,
    peers,
    preprocessing,
    steady,
    unchanged,
    verdict,
)
from benchmarks.baselines import scratch_cnn
from benchmarks.measuring.machine import ROOT
from benchmarks.measuring.record import RESULTS, read_record, table
from benchmarks.network_tables import compared_line, int8_table, network_table
from benchmarks.readme import with_speed
from cache.commandline.command import Console, command_parser, run_command
from cache.files import write_whole

PAGE = ROOT / "docs" / "benchmarks.md"
BACKBONES_PAGE = ROOT / "docs" / "backbones.md"
PRECISION_PAGE = ROOT / "docs" / "precision.md"
README = ROOT / "README.md"

# The benchmarks that the page shows, in its order of reading.
SUMMARIES: Mapping[str, Callable[[dict[str, Any]], str]] = MappingProxyType(
    {
        "compare": compare.summary,
        "scratch_cnn": scratch_cnn.summary,
        "backbones": backbones.summary,
        "head": head.summary,
        "peers": peers.summary,
        "unchanged": unchanged.summary,
        "formats": formats.summary,
        "steady": steady.summary,
    }
)

# What stands above the table of `frontier`, whose picture is there once that was measured.
_FRONTIER = """\
![Cosine and accuracy over speed, of fp32, int8, factorised forms and both](../benchmarks/results/frontier.svg)

Above how far features are from fp32's, below what their heads lose, over the speed. Filled dots are plans by what their splits
were to lose of the cosine, added up over convolutions; hollow ones what `--precision fast` makes, left in float and as int8.
Dotted above: what `auto` allows int8.

"""  # noqa: E501 - lines of the page

_COLUMNS = ("keras", "tensorflow", "onnxruntime", "numpy", "scikit-learn")


def main(argv: list[str] | None = None) -> int:
    """Write the page; return an exit code."""
    parser = command_parser(
        "python -m benchmarks.page",
        "Write docs/benchmarks.md, docs/precision.md, docs/backbones.md and README.md's figures "
        "out of benchmarks/page.md, precision.md, networks.md and results.",
        "python -m benchmarks.page",
    )

    def write(arguments: object, console: Console) -> None:
        del arguments
        write_whole(PAGE, page(RESULTS).encode("utf-8"))
        write_whole(PRECISION_PAGE, precision_page(RESULTS).encode("utf-8"))
        write_whole(BACKBONES_PAGE, backbones_page(RESULTS).encode("utf-8"))
        readme = with_record(README.read_text(encoding="utf-8"), RESULTS)
        write_whole(README, readme.encode("utf-8"))
        names = [PAGE.name, PRECISION_PAGE.name, BACKBONES_PAGE.name, README.name]
        console.result({"out": names}, f"written: {', '.join(names)}")

    return run_command(parser, write, argv)


def page(results: Path) -> str:
    """Return the page for the results in a folder. A benchmark that was not run says so."""
    template = Template((Path(__file__).parent / "page.md").read_text(encoding="utf-8"))
    found = {
        name: read_record(results, name)
        for name in SUMMARIES
        if (results / f"{name}.json").exists()
    }
    texts = {
        name: _spaced(summary(found[name]["results"]))
        if name in found
        else f"Not measured yet: `python -m benchmarks.{name}`."
        for name, summary in SUMMARIES.items()
    }
    views, mistakes = _records(results, "augmentation"), _records(results, "preprocessing")
    return template.substitute(
        texts,
        preprocessing=_texts(mistakes, "preprocessing", preprocessing.summary),
        augmentation=_texts(views, "augmentation", augmentation.summary),
        machines=_machines({**found, **mistakes, **views}),
        **_of_compare(found.get("compare")),
    )


def precision_page(results: Path) -> str:
    """Return the page on int8: all backbones that were measured."""
    template = Template((Path(__file__).parent / "precision.md").read_text(encoding="utf-8"))
    extractions, variants = _records(results, "extraction"), _records(results, "calibration")
    verdicts, parities = _records(results, "verdict"), _records(results, "parity")
    frontiers, overheads = _records(results, "frontier"), _records(results, "overhead")
    return template.substitute(
        extraction=_texts(extractions, "extraction", extraction.summary),
        calibration=_texts(variants, "calibration", calibration.summary),
        verdict=_texts(verdicts, "verdict", verdict.summary),
        parity=_texts(parities, "parity", parity.summary),
        frontier=(_FRONTIER if frontiers else "") + _texts(frontiers, "frontier", frontier.summary),
        overhead=_texts(overheads, "overhead", overhead.summary),
        machines=_machines(
            {**extractions, **variants, **verdicts, **parities, **frontiers, **overheads}
        ),
    )


def with_record(readme: str, results: Path) -> str:
    """Return README's text with the figures of `compare` that a folder of results has."""
    there = (results / "compare.json").exists()
    return with_speed(readme, read_record(results, "compare") if there else None)


def backbones_page(results: Path) -> str:
    """Return the page on the networks that go by a name."""
    template = Template((Path(__file__).parent / "networks.md").read_text(encoding="utf-8"))
    found = {
        name: read_record(results, name)
        for name in ("applications", "speeds")
        if (results / f"{name}.json").exists()
    }
    networks = {name: record["results"]["networks"] for name, record in found.items()}
    return template.substitute(
        machines=_machines(found),
        networks=network_table(networks.get("applications", {}), networks.get("speeds", {})),
        int8=int8_table(networks.get("speeds", {})),
        compared=compared_line(networks.get("applications", {})),
    )


def _records(results: Path, kind: str) -> dict[str, dict[str, Any]]:
    """Return the records of a benchmark that was run for several backbones."""
    return {
        path.stem: read_record(results, path.stem)
        for path in sorted(results.glob(f"{kind}_*.json"))
    }


def _texts(
    records: Mapping[str, dict[str, Any]], kind: str, summary: Callable[[dict[str, Any]], str]
) -> str:
    shown = [_spaced(summary(record["results"])) for record in records.values()]
    return "\n\n".join(shown) or f"Not measured yet: `python -m benchmarks.{kind}`."


def _spaced(text: str) -> str:
    """Return text and tables with an empty line between, as Markdown wants it."""
    lines: list[str] = []
    for line in text.splitlines():
        if lines and (line.startswith("|") != lines[-1].startswith("|") or line[:1] != "|"):
            lines.append("")
        lines.append(line)
    return "\n".join(lines)


def _machines(found: Mapping[str, dict[str, Any]]) -> str:
    rows = []
    for name, record in found.items():
        machine = record["machine"]
        what = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB"
        versions = ", ".join(f"{p} {record['versions'].get(p, '-')}" for p in _COLUMNS)
        rows.append([name, record["date"][:10], f"`{record['commit']}`", what, versions])
    return table(["benchmark", "date", "commit", "machine", "versions"], rows) if rows else ""


def _of_compare(record: dict[str, Any] | None) -> dict[str, str]:
    """Return the texts that are about the comparison."""
    if record is None:
        return {"compare_notes": "", "passes": "-", "distinct": "-", "int8_export": "while"}
    results = record["results"]
    notes = []
    for precision, ratio in results["ratios"].items():
        least, epochs = ratio["images_where_cold_wins"], ratio["epochs_where_cold_wins"]
        where = (
            f"the cached way is the faster one from {least:,} images on"
            if least is not None
            else "the cached way is never the faster one"
        )
        when = (
            f"; with {results['images']:,} images, from {epochs:.2f} epochs on"
            if epochs is not None
            else ""
        )
        notes.append(f"- {precision}, cold, {results['epochs']} epochs: {where}{when}.")
    steps = results["end_to_end"]["phases"]["train"]["steps"]
    notes.append(
        f"- Extrapolated: the end-to-end seconds, from {steps} steps of "
        f"{results['end_to_end']['batch_size']} images in each phase"
        + "".join(
            f"; {precision}, cold, from {ratio['cold_images']:,} images"
            for precision, ratio in results["ratios"].items()
            if ratio["cold_extrapolated"]
        )
        + ". The curves are the measured costs of a start, an image and an epoch; dots are "
        "measured, hollow dots extrapolated."
    )
    ready = results["cached"].get("int8", {}).get("ready", {})
    int8 = ready.get("export", {}).get("seconds")
    peaks = results["peak_gflops"]
    notes.append(
        f"- How steady the machine was: between the legs it made {min(peaks):.0f} to "
        f"{max(peaks):.0f} GFLOP/s of matrix products."
    )
    return {
        "compare_notes": "\n".join(notes),
        "passes": f"{results['schedule']['backbone_passes']:,}",
        "distinct": f"{results['images']:,}",
        "int8_export": f"{int8:,.0f} s" if int8 is not None else "while",
    }


if __name__ == "__main__":
    sys.exit(main())
