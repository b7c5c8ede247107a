"""Try the machinery: no download, no data.

python -m engine.demo
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cache.commandline.command import Console, command_parser, run_command
from cache.commandline.options import path
from cache.commandline.words import command_line

if TYPE_CHECKING:
    from engine.demo.job import Demo


def build_parser(prog: str = "python -m engine.demo") -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = command_parser(
        prog,
        "Draw pictures of two kinds, run VGG16 with random weights over them, once, and train a "
        "head. Nothing is downloaded.",
        prog,
    )
    parser.add_argument(
        "--cache",
        type=path,
        metavar="DIR",
        help="keep the features here and the pictures in DIR-pictures (default: a temporary place)",
    )
    parser.add_argument(
        "--pictures", type=_count, default=240, metavar="N", help="how many, 40 or more; 240"
    )
    return parser


def main(argv: Sequence[str] | None = None, prog: str = "python -m engine.demo") -> int:
    """Run the command; return its exit code."""
    return run_command(build_parser(prog), _demo, argv)


def _count(text: str) -> int:
    value = int(text)
    if value < 40:
        raise argparse.ArgumentTypeError(f"{text} pictures are too few to train and test with")
    return value


def _demo(arguments: argparse.Namespace, console: Console) -> None:
    from engine.demo.job import DemoOptions, demonstrate
    from engine.process.execution import Execution
    from engine.process.progress import shown_progress
    from engine.process.stop import stop_request

    options = DemoOptions(pictures=arguments.pictures, cache=arguments.cache)
    with shown_progress(quiet=console.quiet) as progress, stop_request() as stop:
        demo = demonstrate(options, Execution(progress=progress, stop=stop))
    console.result(demo.payload(), summary(demo, console.prog))


def summary(demo: "Demo", prog: str) -> str:
    """Return the table that the command prints, and what to do next. prog: how it was called."""
    from engine.demo.job import EPOCHS

    first, second, fit = demo.first, demo.second, demo.fit
    train, test = fit.train, fit.test
    lines = [f"{'':<14}{'images':>8}{'backbone passes':>17}{'seconds':>9}"]
    for name, images, passes, seconds in (
        ("export, once", 0, 0, demo.export_seconds),
        ("extract", first.tally.done, first.tally.computed, first.seconds),
        ("extract again", second.tally.done, second.tally.computed, second.seconds),
        ("fit the head", len(train.labels), 0, fit.seconds),
    ):
        lines.append(f"{name:<14}{images:>8,}{passes:>17,}{seconds:>9.2f}")
    lines += [
        "",
        f"accuracy {test.accuracy:.3f} on {len(test.labels):,} test images",
        f"{EPOCHS} epochs without a cache: {demo.end_to_end_passes:,} backbone passes"
        + _end_to_end(demo.end_to_end_seconds),
        "",
        f"The weights of {first.model.backbone} are random here: good for trying the machinery,",
        "not for your images. With ImageNet weights, on a folder for each class:",
        "  " + command_line(prog, "engine.extract", "extract", ["FOLDER", "--cache", "DIR"]),
        "  " + command_line(prog, "engine.fit_head", "fit", ["--cache", "DIR"]),
    ]
    if demo.kept:
        lines.append(f"kept: features in {demo.kept[0]}, head in {demo.kept[1]}")
    return "\n".join(lines)


def _end_to_end(seconds: float | None) -> str:
    return "" if seconds is None else f", {seconds:.0f} s at the rate above"


if __name__ == "__main__":
    sys.exit(main())
