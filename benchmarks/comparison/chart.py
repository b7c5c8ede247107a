"""The chart of `compare`: seconds over images and over epochs, end-to-end and cached."""

from pathlib import Path
from typing import Any

from benchmarks.comparison.times import Cached, EndToEnd, cached_times, end_to_end_times

# Where the time axis has ticks.
_TICKS = (
    (0.1, "0.1 s"), (1, "1 s"), (10, "10 s"), (60, "1 min"), (600, "10 min"),
    (3600, "1 h"), (36_000, "10 h"), (360_000, "100 h"),
)  # fmt: skip

# Okabe and Ito's colours, which people with any colour vision tell apart.
_COLOURS = {"end_to_end": "#D55E00", "int8": "#0072B2", "fp32": "#56B4E9", "warm": "#009E73"}

# Of all charts. The salt keeps an SVG the same where its figures are.
STYLE: Any = {
    "svg.hashsalt": "onceover",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
}


def draw_chart(results: dict[str, Any], folder: Path) -> list[Path]:
    """Draw `compare.svg` and `compare.png` into a folder; return their paths."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    with mpl.rc_context(STYLE):
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 5.2), layout="constrained")
        _over_images(left, results)
        _over_epochs(right, results)
        figure.suptitle(_title(results))
        handles, labels = right.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / "compare.svg", folder / "compare.png"]
        # Without dates, so that the same results give the same files.
        figure.savefig(paths[0], metadata={"Date": None})
        figure.savefig(paths[1], dpi=130, metadata={"Software": None})
        pyplot.close(figure)
    return paths


def _title(results: dict[str, Any]) -> str:
    return (
        f"A softmax head on a frozen {results['end_to_end']['backbone']}, by Adam: every image "
        "through the backbone once per epoch, or once"
    )


def _curves(results: dict[str, Any]) -> tuple[EndToEnd, dict[str, Cached]]:
    cached = {name: cached_times(runs) for name, runs in results["cached"].items()}
    return end_to_end_times(results["end_to_end"]), cached


def _over_images(axes: Any, results: dict[str, Any]) -> None:
    end_to_end, cached = _curves(results)
    most, epochs = results["images"], results["epochs"]
    counts = sorted({20, *(round(20 * (most / 20) ** (n / 40)) for n in range(41))})
    _line(axes, counts, [end_to_end.seconds(n, epochs) for n in counts], "end_to_end")
    for precision, times in cached.items():
        _line(axes, counts, [times.cold(n, epochs) for n in counts], precision)
    fastest = _fastest(cached)
    _line(axes, counts, [cached[fastest].warm(epochs)] * len(counts), "warm")
    _points(axes, results, most)
    _dress(axes, f"images ({epochs} epochs)")


def _over_epochs(axes: Any, results: dict[str, Any]) -> None:
    end_to_end, cached = _curves(results)
    images, most = results["images"], max(100, results["epochs"])
    counts = sorted({*range(1, 11), *(round(most ** (n / 40)) for n in range(41))})
    _line(axes, counts, [end_to_end.seconds(images, n) for n in counts], "end_to_end")
    for precision, times in cached.items():
        _line(axes, counts, [times.cold(images, n) for n in counts], precision)
    fastest = _fastest(cached)
    _line(axes, counts, [cached[fastest].warm(n) for n in counts], "warm")
    _points(axes, results, results["epochs"])
    for precision, found in results["ratios"].items():
        crossing = found["epochs_where_cold_wins"]
        if crossing is not None and crossing >= 1:
            height = cached[precision].cold(images, round(crossing))
            axes.plot([crossing], [height], "x", color="black", markersize=8)
            text = f"equal after {crossing:.1f} epochs"
            axes.annotate(text, (crossing, height), xytext=(6, -14), textcoords="offset points")
    _dress(axes, f"epochs ({images:,} images)")


def _dress(axes: Any, x_label: str) -> None:
    """Set scales, labels and ticks; both axes are logarithmic."""
    axes.set(xscale="log", yscale="log", xlabel=x_label)
    low, high = axes.get_ylim()
    ticks = [(at, label) for at, label in _TICKS if low <= at <= high]
    axes.set_yticks([at for at, _ in ticks], [label for _, label in ticks])
    axes.minorticks_off()
    axes.xaxis.set_major_formatter("{x:,.0f}")


def _fastest(cached: dict[str, Cached]) -> str:
    return min(cached, key=lambda name: cached[name].per_image)


def _line(axes: Any, x: list[int], y: list[float], name: str) -> None:
    labels = {
        "end_to_end": "end-to-end (Keras), extrapolated from timed steps",
        "warm": "cached, warm: fit_head alone",
    }
    style = "--" if name == "end_to_end" else "-"
    label = labels.get(name, f"cached, cold, {name}: extract and fit_head")
    axes.plot(x, y, style, color=_COLOURS.get(name, "#444444"), label=label, linewidth=2)


def _points(axes: Any, results: dict[str, Any], at: int) -> None:
    """Mark what was measured: filled; what was extrapolated: hollow. Write the times beside."""
    found = next(iter(results["ratios"].values()))
    marks = [("end_to_end", found["end_to_end_seconds"], True)]
    marks += [("warm", seconds, False) for seconds in warm_seconds(results)[:1]]
    marks += [
        (precision, entry["cold_seconds"], entry["cold_extrapolated"])
        for precision, entry in results["ratios"].items()
    ]
    for name, seconds, extrapolated in marks:
        colour = _COLOURS.get(name, "#444444")
        face = "white" if extrapolated else colour
        axes.plot([at], [seconds], "o", color=colour, markerfacecolor=face)
        axes.annotate(
            _duration(seconds), (at, seconds), xytext=(-6, 7), textcoords="offset points",
            ha="right", color=colour,
        )  # fmt: skip


def warm_seconds(results: dict[str, Any]) -> list[float]:
    """Return what fit_head took on the caches that hold all images, the least first."""
    whole = [found for found in results["ratios"].values() if not found["cold_extrapolated"]]
    return sorted(found["warm_seconds"] for found in whole)


def _duration(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    if seconds < 100:
        return f"{seconds:.2g} s"
    return f"{seconds:,.0f} s" if seconds < 600 else f"{seconds / 60:,.0f} min"
