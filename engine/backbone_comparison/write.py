"""What a comparison leaves: compare.json, compare.html, and the table on the terminal."""

import json
from pathlib import Path

from cache.commandline.printable import printable
from cache.files import write_whole
from engine.backbone_comparison.result import Comparison, Measured
from engine.classifiers.text_columns import display_width, fitted
from engine.pages.charts import interval_chart
from engine.pages.folder import dated_folder, require_free
from engine.pages.render import percent, render

_JSON, _PAGE = "compare.json", "compare.html"

_UNKNOWN = "not measured"

# Cells of a terminal that a name has at least.
_SHORTEST = 12


def write_comparison(comparison: Comparison, cache: Path, out: Path | None = None) -> Path:
    """Write a comparison; return its folder.

    out: None for `comparisons/DATE` in the cache, with a number where there is one already.

    Raises:
        Failure: `out` is a file, or holds files already.
        OSError: something could not be written.
    """
    folder = dated_folder(cache / "comparisons", _JSON) if out is None else out
    if out is not None:
        require_free(out, "comparison")
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(comparison.payload(), indent=1, allow_nan=False)
    write_whole(folder / _PAGE, page(comparison).encode("utf-8"))
    write_whole(folder / _JSON, f"{text}\n".encode("ascii"))
    return folder


def page(comparison: Comparison) -> str:
    """Return the page. All text that comes from users is escaped."""
    rows = comparison.ranked()
    timed = [row for row in rows if row.seconds_to_head is not None]
    chart = interval_chart(
        [row.seconds_to_head or 0.0 for row in timed],
        [(row.interval[0], row.accuracy, row.interval[1]) for row in timed],
        marked=[row.frontier for row in timed],
        x_label=f"seconds to a head on {comparison.images:,} images",
        y_label="accuracy",
    )
    best = rows[0]
    return render(
        "compare.html",
        source=comparison.source,
        images=f"{comparison.images:,}",
        best=best.backbone,
        figures=[
            {"value": percent(best.accuracy), "what": f"accuracy of {best.backbone}, the best"},
            {"value": len(rows), "what": "backbones"},
            {"value": sum(row.frontier for row in rows), "what": "of them worth considering"},
        ],
        chart=chart if timed else None,
        numbered=[f"{number}: {row.backbone}" for number, row in enumerate(timed, 1)],
        head=_HEAD,
        rows=[_cells(row) for row in rows],
    )


_HEAD = (
    "backbone",
    "verdict",
    "accuracy",
    "95 % interval",
    "images",
    "images/s",
    "model, MB",
    "bytes an image",
    "seconds to a head",
)


def _cells(row: Measured) -> list[str]:
    rate, seconds = row.images_per_second, row.seconds_to_head
    return [
        f"{row.backbone} ({row.precision})",
        verdict(row),
        percent(row.accuracy),
        f"{percent(row.interval[0]).split()[0]} to {percent(row.interval[1])}",
        f"{row.images:,}",
        _UNKNOWN if rate is None else f"{rate:.1f}",
        f"{row.model_mb:.1f}",
        f"{row.feature_bytes:,}",
        _UNKNOWN if seconds is None else f"{seconds:,.1f}",
    ]


def verdict(row: Measured) -> str:
    """Return what becomes of a backbone, in a few words."""
    if row.stopped:
        return "quick, but less right" if row.frontier else "left behind"
    return "on the frontier" if row.frontier else "another is better and quicker"


# What stands above the figures on the terminal, each as wide as its column.
_ABOVE = ("accuracy", "95 % interval", " images", "images/s", "s to a head")


def summary(comparison: Comparison, folder: Path, columns: int | None = None) -> str:
    """Return the lines that the command prints.

    columns: of the terminal: where a line for each backbone is too long, its name and what becomes
    of it go above its figures. None to write a line for each whatever its length.
    """
    rows = comparison.ranked()
    names = [printable(f"{row.backbone} ({row.precision})", 60) for row in rows]
    width = max(map(display_width, names))
    figures = [_figures(row) for row in rows]
    verdicts = [verdict(row) for row in rows]
    lines = [f"{'':{width}}  {'  '.join(_ABOVE)}"]
    for name, numbers, word in zip(names, figures, verdicts, strict=True):
        lines.append(f"{fitted(name, width)}  {numbers}  {word}")
    if columns is not None and max(map(display_width, lines)) > columns:
        lines = [f"  {'  '.join(_ABOVE)}"]
        for name, numbers, word in zip(names, figures, verdicts, strict=True):
            room = min(display_width(name), max(columns - len(word) - 2, _SHORTEST))
            lines += [f"{fitted(name, room).rstrip()}: {word}", f"  {numbers}"]
    lines.append(f"page: {printable(str(folder / _PAGE))}")
    return "\n".join(lines)


def _figures(row: Measured) -> str:
    """Return what was measured of a backbone, in columns as wide as those of _ABOVE."""
    low, high = row.interval
    cells = [f"{row.accuracy:.4f}", f"{low:.4f}-{high:.4f}", f"{row.images:,}"]
    cells += ["-" if row.images_per_second is None else f"{row.images_per_second:.1f}"]
    cells += ["-" if row.seconds_to_head is None else f"{row.seconds_to_head:,.1f}"]
    return "  ".join(f"{cell:>{len(top)}}" for cell, top in zip(cells, _ABOVE, strict=True))
