"""Cache -> what is wrong with the data.

python -m engine.review --cache DIR
"""

import argparse
import sys
from collections.abc import Sequence

from cache.commandline.command import Console, command_parser, run_command
from cache.commandline.options import add_features_options, path
from cache.commandline.words import command_line


def build_parser(prog: str = "python -m engine.review") -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = command_parser(
        prog,
        "Review the images of a cache by their features: suspected wrong labels, near-duplicates, "
        "conflicts, rejected files, odd and uncertain images.",
        f"{prog} --cache pets",
    )
    parser.add_argument("--cache", type=path, metavar="DIR", help="where the features are")
    add_features_options(parser)
    parser.add_argument(
        "--seed", type=_seed, default=0, metavar="S", help="of the folds (default: 0)"
    )
    parser.add_argument(
        "--apply",
        type=path,
        metavar="REVIEW.CSV",
        help="write the labels as its column new_label corrects them, a class or drop; needs --out",
    )
    parser.add_argument(
        "--out",
        type=path,
        metavar="PATH",
        help="a folder for review.html and review.csv (default: reviews/DATE in the cache); with "
        "--apply the table to write",
    )
    return parser


def main(argv: Sequence[str] | None = None, prog: str = "python -m engine.review") -> int:
    """Run the command; return its exit code."""
    return run_command(build_parser(prog), _review, argv)


def _seed(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def _review(arguments: argparse.Namespace, console: Console) -> None:
    from cache.failures import UsageFailure

    if arguments.apply is not None:
        if arguments.out is None or arguments.cache is not None:
            raise UsageFailure("--apply takes a review.csv and --out, and no --cache")
        _apply(arguments, console)
        return
    if arguments.cache is None:
        raise UsageFailure("--cache is missing: where the features are")

    from cache.commandline.printable import printable
    from cache.files import home_path
    from cache.store import FeatureCache
    from engine.data_review.findings import review
    from engine.data_review.sheet import NAME
    from engine.data_review.write import summary, write_review
    from engine.heads.open_features import open_features

    cache = FeatureCache.open(arguments.cache)
    features = open_features(cache.space(arguments.space), arguments.dataset)
    findings = review(features, seed=arguments.seed)
    out = None if arguments.out is None else home_path(arguments.out)
    folder = write_review(findings, cache.path, out)
    sheet = folder / NAME
    words = ["--apply", str(sheet), "--out", "labels.csv"]
    text = (
        f"{summary(findings, folder)}\n"
        f"next: mark new_label in {printable(str(sheet))}\n"
        f"then: {command_line(console.prog, 'engine.review', 'review', words)}"
    )
    console.result({**findings.payload(), "out": str(folder)}, text)


def _apply(arguments: argparse.Namespace, console: Console) -> None:

    from cache.commandline.printable import printable
    from cache.files import home_path
    from engine.data_review.sheet import apply_sheet

    out = home_path(arguments.out)
    corrections = apply_sheet(home_path(arguments.apply), out)
    base = ["--base", corrections.base] if corrections.base else []
    following = command_line(
        console.prog, "engine.extract", "extract", [str(out), *base, "--cache", "DIR"]
    )
    # By its name: the labels before lie in the cache as well, and the two contradict each other.
    named = ["--cache", "DIR", "--dataset", str(out)]
    last = command_line(console.prog, "engine.fit_head", "fit", named)
    told = f"{corrections.kept} kept, {corrections.changed} changed, {corrections.dropped} dropped"
    console.result(
        {**corrections.payload(), "out": str(out)},
        f"{told}; labels in {printable(str(out))}\nnext: {following}\nthen: {last}",
    )


if __name__ == "__main__":
    sys.exit(main())
