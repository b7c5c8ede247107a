"""A fit as one HTML page that needs nothing else: no network, no script, light and dark."""

from importlib import resources
from pathlib import PurePosixPath

import numpy as np

from engine.heads.fit import Fit
from engine.heads.scores import (
    Scores,
    calibration_error,
    confidence_bins,
)
from engine.heads.split import SIDES
from engine.pages.charts import SERIES, line_chart, reliability_chart
from engine.pages.html import card, safe, table

# How much of what grows with the classes or the mistakes is on the page.
_MATRIX_CLASSES = 20
_TABLE_ROWS = 20
_MISTAKES = 20

# The page may load nothing and run nothing, whatever a label or a path says.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def report_page(fit: Fit) -> str:
    """Return the page. All text that comes from the data is escaped."""
    style = resources.files("engine.pages").joinpath("report.css").read_text(encoding="utf-8")
    classes = fit.features.classes
    space = fit.features.space.title or "cached features"
    title = " / ".join(classes) if len(classes) <= 4 else f"{len(classes)} classes"
    cards = (
        card("Losses and accuracies", _sides(fit)),
        card("What was trained on what", _facts(fit)),
        card(*_history(fit)),
        card("Confidence", _reliability(fit.test)),
        card(*_confusion(fit), wide=True),
        card("Each class, on the test images", _classes(fit), wide=True),
        card("The most confident mistakes", _mistakes(fit), wide=True),
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{safe(title)}: a head by Onceover</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{safe(title)}</h1>\n"
        f'<p class="soft">A softmax head on {safe(space)}</p>\n'
        f'{_figures(fit)}\n<div class="grid">\n{"".join(cards)}</div>\n'
        '<footer class="soft small">Written by <code>python -m engine.fit_head</code>. All figures '
        "are in <code>metrics.json</code> beside this page.</footer>\n</main>\n</body>\n</html>\n"
    )


def _figures(fit: Fit) -> str:
    test = fit.test
    low, high = fit.figures.accuracy.interval or (0.0, 1.0)
    figures = (
        (f"{test.accuracy:.2%}", f"test accuracy; {low:.1%} to {high:.1%} with 95 % certainty"),
        (f"{test.loss:.4f}", "test loss in nats"),
        (f"{fit.head.trainable_parameters:,}", "trained parameters"),
        (f"{fit.seconds:.2f} s", f"to train on {len(fit.split.train):,} images"),
    )
    shown = "".join(
        f'<div><b>{figure}</b><span class="soft small">{what}</span></div>'
        for figure, what in figures
    )
    return f'<div class="figures">{shown}</div>'


def _sides(fit: Fit) -> str:
    rows = [
        (side, f"{len(scores.labels):,}", f"{scores.loss:.4f}", f"{scores.accuracy:.4f}")
        for side in SIDES
        for scores in [fit.scores(side)]
        if scores is not None
    ]
    return table(("", "images", "loss", "accuracy"), rows) + (
        '<p class="soft small" style="margin:12px 0 0">Loss is the mean categorical cross-entropy '
        "in nats. Identical images count once and are never on two sides.</p>"
    )


def _facts(fit: Fit) -> str:
    features, options = fit.features, fit.options
    # A source's name is its path: the last part of it is what the reader of a report needs.
    sources = [PurePosixPath(name.replace("\\", "/")).name for name in fit.features.datasets]
    left_out = {
        "rejected": len(features.rejected),
        "without a label": features.unlabelled,
        "under several labels": len(features.conflicts),
        "lost by the cache": features.missing,
    }
    facts = {
        "images": f"{len(features):,} distinct, {features.duplicates:,} duplicates",
        "left out": ", ".join(f"{n:,} {why}" for why, n in left_out.items() if n) or "none",
        "source": ", ".join(sources),
        "split": f"{fit.split.name} by class, seed {options.seed}",
        "solver": _solver(fit),
        "space": fit.features.space.id,
        **{
            key: str(fit.features.space.description[key])
            for key in ("backbone", "layer", "precision", "preprocessing", "interpolation")
            if key in fit.features.space.description
        },
    }
    items = "".join(f"<dt>{key}</dt><dd>{safe(value)}</dd>" for key, value in facts.items())
    return f"<dl>{items}</dl>"


def _solver(fit: Fit) -> str:
    if "l2" in fit.solution.chosen:
        return f"L-BFGS, L2 strength {fit.solution.chosen['l2']:.3g}"
    return f"Adam, {fit.solver.epochs} epochs, batches of {fit.solver.batch_size}"


def _history(fit: Fit) -> tuple[str, str]:
    names = ("train", "validation")
    series = [[point[f"{name}_loss"] for point in fit.solution.history] for name in names]
    legend = "".join(
        f'<span><i class="key {style}"></i>{name}</span>'
        for style, name in zip(SERIES, names, strict=True)
    )
    if "l2" in fit.solution.chosen:
        title, key, label = "Loss by L2 strength", "l2", "L2 strength, from strong to weak"
        note = "The dashed line is the strength with the least validation loss: the one chosen."
    else:
        title, key, label = "Loss by epoch", "epoch", "epoch"
        note = "Training loss is the mean over an epoch's batches, validation loss that after it."
    chart = line_chart(
        [point[key] for point in fit.solution.history],
        series,
        names,
        x_label=label,
        y_label="loss in nats",
        log=key == "l2",
        chosen=fit.solution.chosen.get("l2"),
    )
    return title, (
        f'<p class="legend small soft">{legend}</p><figure>{chart}'
        f"<figcaption>{note}</figcaption></figure>"
    )


def _reliability(test: Scores) -> str:
    bins = confidence_bins(test)
    chart = reliability_chart(bins, 0.5 if test.classes == 2 else 0.0)
    return (
        f"<figure>{chart}<figcaption>How often the test answers of a confidence are right, in bins "
        "of equal counts; on the dashed line they are as sure as they ought to be. "
        f"Expected calibration error {calibration_error(bins):.3f}.</figcaption></figure>"
    )


def _confusion(fit: Fit) -> tuple[str, str]:
    classes, confusion = fit.features.classes, fit.test.confusion
    if len(classes) > _MATRIX_CLASSES:
        wrong = confusion - np.diag(np.diag(confusion))
        order = np.argsort(-wrong, axis=None, kind="stable")[:_TABLE_ROWS]
        pairs = [divmod(int(cell), len(classes)) for cell in order if wrong.flat[cell]]
        rows = [
            (safe(classes[true], 60), safe(classes[taken], 60), f"{wrong[true, taken]:,}")
            for true, taken in pairs
        ]
        return "What is taken for what", table(("label", "taken for", "test images"), rows, texts=2)
    head = "".join(f'<th scope="col">{safe(label, 24)}</th>' for label in classes)
    body = "".join(
        f'<tr><th scope="row" class="text">{safe(label, 40)}</th>{_confusion_cells(row, true)}</tr>'
        for true, (label, row) in enumerate(zip(classes, confusion, strict=True))
    )
    return "Confusion on the test images", (
        '<div class="scroll"><table class="confusion"><thead><tr>'
        f'<th class="text">label ↓ taken for →</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _confusion_cells(row: np.ndarray, true: int) -> str:
    shares = row / max(row.sum(), 1)
    return "".join(
        f'<td class="{"right" if taken == true else "wrong"}" '
        # The square root shows a single mistake among hundreds.
        f'style="--share:{0.6 * np.sqrt(share):.2f}">{count:,}</td>'
        for taken, (count, share) in enumerate(zip(row, shares, strict=True))
    )


def _classes(fit: Fit) -> str:
    figures = fit.figures.per_class
    order = sorted(range(len(figures)), key=lambda code: (figures[code].recall.value, code))
    rows = [
        (
            safe(fit.features.classes[code], 60),
            f"{fit.features.counts[code]:,}",
            f"{figures[code].images:,}",
            _share(figures[code].recall.value),
            _share(figures[code].precision.value),
        )
        for code in order[:_TABLE_ROWS]
    ]
    left = len(order) - len(rows)
    return table(("class", "images", "tested", "recall", "precision"), rows) + (
        f'<p class="soft small">and {left} more of higher recall</p>' if left else ""
    )


def _share(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.1%}"


def _mistakes(fit: Fit) -> str:
    test, classes = fit.test, fit.features.classes
    wrong = np.flatnonzero(test.predicted != test.labels)
    if not len(wrong):
        return "<p>None: every test image got its label.</p>"
    worst = wrong[np.argsort(-test.confidences[wrong], kind="stable")][:_MISTAKES]
    rows = [
        (
            safe(fit.features.paths[fit.split.test[number]]),
            safe(classes[test.labels[number]], 60),
            safe(classes[test.predicted[number]], 60),
            f"{test.confidences[number]:.1%}",
        )
        for number in worst
    ]
    shown = f"{len(rows)} of {len(wrong):,}" if len(rows) < len(wrong) else f"all {len(wrong):,}"
    return (
        f'<p class="soft small">{shown} mistakes among {len(test.labels):,} test images; a wrong '
        "label in the source is often found here.</p>"
    ) + table(("image", "label", "taken for", "confidence"), rows, texts=3)
