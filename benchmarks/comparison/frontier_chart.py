"""The chart of `frontier`: cosine and accuracy over speed, of all backbones that were measured."""

import math
import statistics
from pathlib import Path
from typing import Any

from benchmarks.comparison.chart import STYLE
from benchmarks.measuring.record import read_record

# Okabe and Ito's colours, which people with any colour vision tell apart, and marks that differ.
_KINDS = {
    "fp32": ("#444444", "o", "fp32"),
    "int8": ("#0072B2", "s", "int8"),
    "split fp32": ("#E69F00", "o", "factorised"),
    "split int8": ("#D55E00", "s", "factorised and int8"),
}


def draw_frontier(folder: Path) -> list[Path]:
    """Draw `frontier.svg` and `frontier.png` out of a folder's results; return their paths."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot
    from matplotlib.lines import Line2D

    found = [
        read_record(folder, path.stem)["results"] for path in sorted(folder.glob("frontier_*.json"))
    ]
    with mpl.rc_context(STYLE):
        figure, axes = pyplot.subplots(
            2, len(found), figsize=(3.6 * len(found), 6.2), layout="constrained", squeeze=False,
            sharex="col",
        )  # fmt: skip
        for column, results in enumerate(found):
            _draw(axes[:, column], results)
        axes[0, 0].set_ylabel("1 - cosine to fp32's features\n(mean; bar: to the worst 1 %)")
        axes[1, 0].set_ylabel("points of accuracy to fp32's heads\n(bar: standard error)")
        handles = [
            Line2D([], [], color=colour, marker=mark, linestyle="-", label=label)
            for colour, mark, label in _KINDS.values()
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
        paths = [folder / "frontier.svg", folder / "frontier.png"]
        # Without dates, so that the same results give the same files.
        figure.savefig(paths[0], metadata={"Date": None})
        figure.savefig(paths[1], dpi=130, metadata={"Software": None})
        pyplot.close(figure)
    return paths


def _kind(form: str) -> str:
    """Return the kind of a form: its plan left out."""
    return form if form in _KINDS else f"split {form.rsplit(' ', 1)[1]}"


def _draw(axes: Any, results: dict[str, Any]) -> None:
    """Draw a backbone: cosines above, accuracies below, both over the speed."""
    forms = results["forms"]
    base = forms["fp32"]
    closeness, accuracy = axes
    lines: dict[str, list[tuple[float, float]]] = {}
    for form, row in forms.items():
        kind = _kind(form)
        colour, mark, _ = _KINDS[kind]
        speed = row["images_per_second"] / base["images_per_second"]
        face = "white" if form.startswith("fast") else colour
        dots = {"color": colour, "marker": mark, "markerfacecolor": face, "markersize": 7}
        if row is not base:
            lost, worst = 1 - row["cosine_mean"], 1 - row["cosine_p1"]
            closeness.plot([speed, speed], [lost, worst], color=colour, alpha=0.5)
            closeness.plot([speed], [lost], **dots)
            lines.setdefault(kind, []).append((speed, lost))
            if form.startswith("fast"):
                closeness.annotate(
                    "--precision fast" if form == results.get("fast", "fast int8") else "",
                    (speed, lost),
                    xytext=(0, -13), textcoords="offset points", ha="right", color=colour,
                )  # fmt: skip
        gains = [100 * (a - b) for a, b in zip(row["heads"], base["heads"], strict=True)]
        error = statistics.stdev(gains) / math.sqrt(len(gains))
        accuracy.errorbar([speed], [statistics.mean(gains)], [error], capsize=3, **dots)
    for kind, points in lines.items():
        closeness.plot(*zip(*sorted(points), strict=True), color=_KINDS[kind][0], alpha=0.6)
    title = results["backbone"] + (": nothing to split" if results["nothing_to_split"] else "")
    closeness.set_title(title, fontsize=9)
    closeness.set(yscale="log")
    closeness.axhline(0.01, color="black", linewidth=0.8, linestyle=":")
    accuracy.axhline(0, color="black", linewidth=0.8, linestyle=":")
    accuracy.set(xlabel="times as fast as fp32")
