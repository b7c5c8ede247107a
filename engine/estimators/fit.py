"""What a fit leaves: the head, its metrics, its report, and the lines on the terminal."""

from pathlib import Path

from cache.commandline.printable import printable
from cache.files import write_whole
from engine.heads.files import default_folder, write_head
from engine.heads.fit import Fit
from engine.heads.split import SIDES

# Class names on one line of the terminal.
_NAMED = 10


def write_fit(fit: Fit, folder: str | Path | None = None, *, report: bool = True) -> Path:
    """Write what the command `fit` writes of a fit; return its folder.

    >>> from onceover import FeatureCache, write_fit
    >>> folder = write_fit(FeatureCache.open(cache).features().fit_head(seed=0))
    >>> (folder / "report.html").is_file()
    True

    Head, metrics and predictions are what `Fit.save` writes as well; the report is a page of
    figures, mistakes and what more images would bring, for which heads are fitted on fewer images.

    folder: None for one in the cache, by a name that says what was chosen.
    report: whether to write the page.

    Raises:
        Failure: `folder` is a file, or a head of other choices is in it.
        OSError: something could not be written.
    """
    folder = Path(folder).expanduser() if folder else default_folder(fit)
    if not report:
        write_head(fit, folder)
        return folder
    from engine.heads.learning_curve import learning_curve
    from engine.pages.report import report_page

    curve = learning_curve(fit)
    write_head(fit, folder, curve)
    page = report_page(fit, folder, curve)
    write_whole(folder / "report.html", page.encode("utf-8"))
    return folder


def summary(fit: Fit, out: Path, *, report: bool = False) -> str:
    """Return the lines that the command prints."""
    classes = fit.features.classes
    named = ", ".join(printable(label, 40) for label in classes[:_NAMED])
    more = ", ..." if len(classes) > _NAMED else ""
    lines = [
        f"{len(classes):,} classes ({named}{more})",
        f"{fit.head.trainable_parameters:,} trainable parameters",
        f"{'':<11}{'images':>8}{'loss':>10}{'accuracy':>10}",
    ]
    for side in SIDES:
        scores = fit.scores(side)
        if scores is None:
            continue
        lines.append(
            f"{side:<11}{len(scores.labels):>8,}{scores.loss:>10.4f}{scores.accuracy:>10.4f}"
        )
    figures = fit.figures
    low, high = figures.accuracy.interval or (0.0, 1.0)
    baseline = printable(classes[figures.baseline_class], 40)
    lines.append(
        f"test accuracy {low:.4f} to {high:.4f} with 95 % certainty; "
        f"always {baseline} would have {figures.baseline:.4f}"
    )
    if fit.cross_validation is not None:
        spread = fit.cross_validation.payload()
        lines.append(
            f"{spread['folds']} folds: accuracy {spread['accuracy']['mean']:.4f} "
            f"+- {spread['accuracy']['deviation']:.4f}, loss {spread['loss']['mean']:.4f} "
            f"+- {spread['loss']['deviation']:.4f}"
        )
    lines += [
        _choice(fit),
        f"head in {printable(str(out))}; {fit.seconds:.2f} s",
        *([f"report: {printable(str(out / 'report.html'))}"] if report else []),
    ]
    return "\n".join(lines)


def _choice(fit: Fit) -> str:
    if fit.solver.solver == "lbfgs":
        return (
            f"lbfgs: L2 strength {fit.solution.chosen['l2']:.3g} has the least validation loss "
            f"of {len(fit.solution.history)} tried"
        )
    return f"adam: {fit.solver.epochs} epochs of batches of {fit.solver.batch_size}"
