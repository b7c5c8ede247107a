"""Backbones side by side on your images.

python -m engine.compare SOURCE --cache DIR --backbone SPEC --backbone SPEC
"""

import argparse
import sys
from collections.abc import Sequence

from cache.commandline.command import Console, command_parser, run_command
from cache.commandline.options import count, path


def build_parser(prog: str = "python -m engine.compare") -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = command_parser(
        prog,
        "Run each backbone on growing samples of your images, and say how right, fast and large "
        "it is. One that cannot be the best any more is left behind.",
        f"{prog} photos --cache pets --backbone mobilenet_v2 --backbone 'vgg16?layer=block5_pool"
        "&pool=avg'",
    )
    parser.add_argument(
        "source", type=path, metavar="SOURCE", help="images with labels, as extract takes"
    )
    parser.add_argument(
        "--cache", required=True, type=path, metavar="DIR", help="where features are kept"
    )
    parser.add_argument(
        "--backbone",
        action="append",
        required=True,
        metavar="SPEC",
        help="NAME or FILE, options after a question mark: weights, layer, pool, size, "
        "preprocessing, precision, interpolation, crop; two or more",
    )
    parser.add_argument(
        "--budget", type=_minutes, metavar="MINUTES", help="begin no further round after these"
    )
    parser.add_argument(
        "--out", type=path, metavar="DIR", help="default: comparisons/DATE in the cache"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the order")
    parser.add_argument("--threads", type=count, metavar="N", help="default: one for each core")
    return parser


def main(argv: Sequence[str] | None = None, prog: str = "python -m engine.compare") -> int:
    """Run the command; return its exit code."""
    return run_command(build_parser(prog), _compare, argv)


def _minutes(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is no number of minutes above 0")
    return value


def _compare(arguments: argparse.Namespace, console: Console) -> None:
    import shutil
    from pathlib import Path

    from cache.files import home_path
    from engine.backbone_comparison.candidate import read_candidates
    from engine.backbone_comparison.compare import compare
    from engine.backbone_comparison.write import summary, write_comparison
    from engine.pages.folder import require_free
    from engine.process.execution import Execution
    from engine.process.progress import shown_progress
    from engine.process.stop import stop_request
    from engine.runner.survey import Selection, survey

    candidates = read_candidates(arguments.backbone)
    out = None if arguments.out is None else home_path(arguments.out)
    if out is not None:
        require_free(out, "comparison")  # before minutes of work, not after them
    with (
        survey(arguments.source, Selection(seed=arguments.seed)) as images,
        shown_progress(quiet=console.quiet) as progress,
        stop_request() as stop,
    ):
        for line in images.lines():
            console.say(line)
        execution = Execution(threads=arguments.threads, progress=progress, stop=stop)
        comparison = compare(images, arguments.cache, candidates, arguments.budget, execution)
    folder = write_comparison(comparison, Path(arguments.cache), out)
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    console.result(comparison.payload(), summary(comparison, folder, columns))


if __name__ == "__main__":
    sys.exit(main())
