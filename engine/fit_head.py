"""Cache -> head.

python -m engine.fit_head --cache DIR
"""

import argparse
import sys
from collections.abc import Sequence

from cache.commandline.command import Console, command_parser, run_command
from cache.commandline.options import add_features_options, count, path
from cache.commandline.words import command_line
from cache.failures import UsageFailure


def build_parser(prog: str = "python -m engine.fit_head") -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = command_parser(
        prog,
        "Train a softmax head on the features of a cache; write it with its metrics and a report.",
        f"{prog} --cache pets",
    )
    parser.add_argument(
        "--cache", required=True, type=path, metavar="DIR", help="where the features are"
    )
    add_features_options(parser)
    parser.add_argument(
        "--split",
        type=_split,
        metavar="A/B/C",
        help="percentages of train, validation and test, or of train and test; own: as the source "
        "divides them (default: own where the source does, else 70/15/15)",
    )
    parser.add_argument(
        "--seed", type=_seed, default=0, metavar="S", help="of split and solver (default: 0)"
    )
    parser.add_argument(
        "--solver",
        choices=["lbfgs", "adam"],
        default="lbfgs",
        help="lbfgs chooses its L2 strength by validation; adam is the tutorial's recipe and takes "
        "caches larger than memory (default: lbfgs)",
    )
    parser.add_argument("--epochs", type=count, metavar="N", help="adam's; 10")
    parser.add_argument("--batch-size", type=count, metavar="N", help="adam's; 128")
    parser.add_argument(
        "--memory",
        type=count,
        metavar="MIB",
        help="features that adam holds in memory; more are read block by block (default: 1024)",
    )
    parser.add_argument(
        "--class-weight",
        choices=["balanced"],
        help="balanced: each class counts the same in training, whatever its images",
    )
    parser.add_argument(
        "--group-duplicates",
        action="store_true",
        help="keep near-duplicates on one side of the split",
    )
    parser.add_argument(
        "--folds",
        type=_folds,
        default=0,
        metavar="K",
        help="also train and test K heads by cross-validation; mean and spread",
    )
    parser.add_argument("--out", type=path, metavar="DIR", help="default: heads/NAME in the cache")
    parser.add_argument("--no-report", action="store_true", help="write no report.html")
    return parser


def main(argv: Sequence[str] | None = None, prog: str = "python -m engine.fit_head") -> int:
    """Run the command; return its exit code."""
    return run_command(build_parser(prog), _fit_head, argv)


def _split(text: str) -> tuple[int, ...]:
    """Return percentages; none at all for the source's own split."""
    if text == "own":
        return ()
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(
            f"{text} is not two or three whole percentages, as in 70/15/15, nor own"
        )
    percentages = tuple(map(int, parts))
    if sum(percentages) != 100 or 0 in percentages:
        raise argparse.ArgumentTypeError(f"{text} is not parts of 100, each above 0")
    return percentages


def _folds(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 2:
        raise argparse.ArgumentTypeError(f"{text} is not a number of folds, 2 at least")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def _check_solver(arguments: argparse.Namespace) -> None:
    """Raise UsageFailure for options that the solver would not heed."""
    if arguments.solver == "adam":
        return
    for name in ("epochs", "batch_size", "memory"):
        if getattr(arguments, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise UsageFailure(f"{option} is adam's: give --solver adam too, or leave it out")


def _fit_head(arguments: argparse.Namespace, console: Console) -> None:
    from cache.store import FeatureCache
    from engine.estimators.fit import summary, write_fit
    from engine.heads.fit import fit
    from engine.heads.open_features import open_features
    from engine.heads.solvers import SolverOptions
    from engine.heads.split import SplitOptions

    _check_solver(arguments)
    solver = SolverOptions(
        solver=arguments.solver,
        epochs=arguments.epochs or 10,
        batch_size=arguments.batch_size or 128,
        seed=arguments.seed,
        memory=(arguments.memory or 1024) * 2**20,
        balanced=arguments.class_weight == "balanced",
    )
    options = SplitOptions(
        percentages=arguments.split or None,
        seed=arguments.seed,
        own=arguments.split == (),
        group_duplicates=arguments.group_duplicates,
    )
    report = not arguments.no_report
    space = FeatureCache.open(arguments.cache).space(arguments.space)
    features = open_features(space, arguments.dataset)
    result = fit(features, options, solver, folds=arguments.folds)
    out = write_fit(result, arguments.out, report=report)
    words = ["IMAGE", "--head", str(out)]
    following = command_line(console.prog, "engine.predict", "predict", words)
    text = f"{summary(result, out, report=report)}\nnext: {following}"
    console.result({**result.payload(), "out": str(out)}, text)


if __name__ == "__main__":
    sys.exit(main())
