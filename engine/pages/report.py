"""A fit as one HTML page that needs nothing else: no network, no script, light and dark."""

import shlex
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

from engine.heads.files import METRICS, read_metrics
from engine.heads.fit import Fit
from engine.heads.learning_curve import LearningCurve
from engine.heads.scores import confidence_bins
from engine.heads.split import SIDES
from engine.pages import answers
from engine.pages.charts import SERIES, line_chart, reliability_chart
from engine.pages.render import percent, render

# How many other heads of the cache are on the page.
_HEADS = 12


def report_page(fit: Fit, folder: Path | None = None, curve: LearningCurve | None = None) -> str:
    """Return the page of a fit. All text that comes from the data is escaped.

    folder: where the head is, for how to use it and which heads there are beside it.
    curve: of the same fit; None to leave it out.
    """
    classes = fit.features.classes
    return render(
        "report.html",
        title=" / ".join(classes) if len(classes) <= 4 else f"{len(classes)} classes",
        classes=classes,
        space=fit.features.space.title or "cached features",
        figures=_figures(fit),
        warned=fit.warnings,
        mistakes=answers.mistakes(fit),
        matrix=answers.matrix(fit),
        columns=answers.columns(classes),
        confusions=answers.confusions(fit),
        per_class=answers.classes(fit),
        more_classes=max(0, len(classes) - answers.ROWS),
        reliability=reliability_chart(confidence_bins(fit.test), 0.5 if len(classes) == 2 else 0),
        calibration=answers.calibration(fit),
        curve=_curve(curve) if curve else None,
        sides=_sides(fit),
        folds=_folds(fit),
        history=_history(fit),
        usage=_usage(folder),
        earlier=_earlier(fit.features.space.path.parents[1] / "heads", folder),
        facts=_facts(fit),
    )


def _figures(fit: Fit) -> list[dict[str, str]]:
    figures = fit.figures
    low, high = (end * 100 for end in figures.accuracy.interval or (0.0, 1.0))
    interval = f"{low:.1f} to {high:.1f} % with 95 % certainty"
    baseline = fit.features.classes[figures.baseline_class]
    shown = (
        (percent(figures.accuracy.value), f"of {len(fit.test):,} test images right; {interval}"),
        (percent(figures.baseline), f"would be right by always saying {baseline}"),
        (f"{len(fit.split.train):,}", f"training images, fitted in {fit.seconds:.2f} s"),
        (f"{fit.head.trainable_parameters:,}", "trained parameters"),
    )
    return [{"value": value, "what": what} for value, what in shown]


def _curve(curve: LearningCurve) -> dict[str, Any]:
    images = [point.images for point in curve.points]
    wrong = [(1 - point.accuracy) * 100 for point in curve.points]
    twice = "Twice the images would bring little: the last steps brought none."
    if curve.twice is not None:
        twice = (
            f"Going on like that, twice the images would make {percent(curve.twice)} right "
            f"instead of {percent(curve.points[-1].accuracy)}."
        )
    chart = line_chart(
        images,
        [wrong],
        ["wrong"],
        x_label="training images",
        y_label="wrong test answers in %",
        log=True,
    )
    return {"chart": chart, "twice": twice}


def _sides(fit: Fit) -> list[tuple[str, ...]]:
    sides = ((side, fit.scores(side)) for side in SIDES)
    return [
        (side, f"{len(scores):,}", percent(scores.accuracy), f"{scores.loss:.4f}")
        for side, scores in sides
        if scores is not None
    ]


def _folds(fit: Fit) -> str:
    if fit.cross_validation is None:
        return ""
    found = fit.cross_validation.payload()
    accuracy = found["accuracy"]
    return (
        f"Cross-validation in {found['folds']} folds, over all images: {percent(accuracy['mean'])} "
        f"right, give or take {accuracy['deviation'] * 100:.2f} from fold to fold."
    )


def _history(fit: Fit) -> dict[str, Any]:
    history = fit.solution.history
    names = [name for name in ("train", "validation") if f"{name}_loss" in history[0]]
    by_strength = "l2" in fit.solution.chosen
    if by_strength:
        title, key, label = "Loss by strength of regularisation", "l2", "L2 strength, falling"
        note = "The dashed line is the strength that was chosen: the least validation loss."
    else:
        title, key, label = "Loss by epoch", "epoch", "epoch"
        note = "Training loss is the mean over an epoch's batches, validation loss that after it."
    chart = line_chart(
        [point[key] for point in history],
        [[point[f"{name}_loss"] for point in history] for name in names],
        names,
        x_label=label,
        y_label="loss",
        log=by_strength,
        chosen=fit.solution.chosen.get("l2"),
    )
    series = [{"style": s, "name": n} for s, n in zip(SERIES, names, strict=False)]
    return {"title": title, "chart": chart, "note": note, "names": series}


def _usage(folder: Path | None) -> list[str]:
    place = str(folder) if folder else "DIR"
    return [
        f"onceover predict IMAGE --head {shlex.quote(place)}",
        "",
        "from onceover import load_classifier",
        f"load_classifier({place!r}).predict(['IMAGE'])",
    ]


def _earlier(heads_folder: Path, folder: Path | None) -> list[tuple[str, ...]]:
    """Return the other heads of a cache, the newest first, from what their metrics say."""
    heads: list[tuple[str, ...]] = []
    for path in heads_folder.glob(f"*/{METRICS}"):
        if path.parent == folder:
            continue
        try:
            record = read_metrics(path.parent)
            heads.append(
                (
                    path.parent.name,
                    str(record.get("written", ""))[:10],
                    f"{len(record['classes']):,}",
                    f"{int(record['split']['test']):,}",
                    percent(float(record["test"]["accuracy"])),
                )
            )
        except (ValueError, KeyError, TypeError):
            continue  # not a head of ours: the page can do without it
    return sorted(heads, key=lambda head: head[1], reverse=True)[:_HEADS]


def _facts(fit: Fit) -> list[tuple[str, str]]:
    features, description = fit.features, fit.features.space.names
    left_out = {
        "rejected": len(features.rejected),
        "under several labels": len(features.conflicts),
        "lost by the cache": features.missing,
    }
    shown = ("backbone", "layer", "precision", "pool", "preprocessing", "interpolation", "crop")
    return [
        ("images", f"{len(features):,} distinct, {features.duplicates:,} duplicates"),
        ("left out", ", ".join(f"{n:,} {why}" for why, n in left_out.items() if n) or "none"),
        ("source", _last_parts(features.datasets)),
        ("split", f"{fit.split.name} by class, seed {fit.options.seed}"),
        ("solver", _solver(fit)),
        ("feature space", features.space.id),
        *((key, str(description[key])) for key in shown if key in description),
    ]


def _last_parts(names: Sequence[str]) -> str:
    """A source's name is its path: the last part of it is what the reader needs."""
    return ", ".join(PurePath(name.replace("\\", "/")).name for name in names)


def _solver(fit: Fit) -> str:
    balanced = ", balanced classes" if fit.solver.balanced else ""
    if "l2" in fit.solution.chosen:
        return f"L-BFGS, L2 strength {fit.solution.chosen['l2']:.3g}{balanced}"
    return f"Adam, {fit.solver.epochs} epochs, batches of {fit.solver.batch_size}{balanced}"
