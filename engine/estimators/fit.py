"""What a fit leaves: the head, its metrics, its report, and the lines on the terminal."""

from pathlib import Path

from cache.commandline.printable import printable
from cache.files import write_whole
from engine.heads.files import default_folder, write_head
from engine.heads.fit import Fit
from engine.heads.split import SIDES

# Class names on one line of the terminal.
_NAMED = 10


def write_fit(fit: Fit, out: str | None, *, report: bool) -> Path:
    """Write a head with its metrics and, if asked, `report.html`; return their folder.

    out: None for a folder in the cache, see `default_folder`.

    Raises:
        Failure, OSError: as `write_head`.
    """
    folder = Path(out) if out else default_folder(fit)
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
        f"{len(classes)} classes ({named}{more})",
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
