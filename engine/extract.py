"""Source -> cache.

python -m engine.extract SOURCE --cache DIR
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cache.commandline.command import Console, command_parser, run_command
from engine.backbones.request import add_backbone_options, add_precision_option

if TYPE_CHECKING:
    from engine.runner.extract import Extraction


def build_parser(prog: str = "python -m engine.extract") -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = command_parser(
        prog,
        "Run a frozen backbone over each image of SOURCE that the cache does not hold yet.",
        f"{prog} PetImages.zip --cache pets --weights random:0",
    )
    parser.add_argument(
        "source", metavar="SOURCE", help="a folder, .zip, .tar[.gz] or a .csv with path,label"
    )
    parser.add_argument("--cache", required=True, metavar="DIR", help="where features are kept")
    add_backbone_options(parser)
    add_precision_option(parser, "auto")
    parser.add_argument(
        "--interpolation",
        choices=["bilinear", "nearest", "bicubic", "lanczos"],
        default="bilinear",
        help="of the resize (default: bilinear; Keras' load_img uses nearest)",
    )
    parser.add_argument("--fraction", type=_fraction, metavar="F", help="of each class, 0 to 1")
    parser.add_argument("--limit-per-class", type=_count, metavar="N", help="images of each class")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of sample and order")
    parser.add_argument("--batch-size", type=_count, metavar="N", help="never changes a feature")
    parser.add_argument("--threads", type=_count, metavar="N", help="never changes a feature")
    return parser


def main(argv: Sequence[str] | None = None, prog: str = "python -m engine.extract") -> int:
    """Run the command; return its exit code."""
    return run_command(build_parser(prog), _extract, argv)


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 1")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _extract(arguments: argparse.Namespace, console: Console) -> None:
    from cache.commandline.printable import printable
    from engine.backbones.request import request_from
    from engine.process.execution import Execution
    from engine.process.progress import shown_progress
    from engine.process.stop import stop_request
    from engine.runner.extract import FeatureRequest, extract
    from engine.runner.survey import Selection, survey

    request = FeatureRequest(request_from(arguments), arguments.precision, arguments.interpolation)
    selection = Selection(arguments.fraction, arguments.limit_per_class, arguments.seed)
    with (
        survey(arguments.source, selection) as images,
        shown_progress(quiet=console.quiet) as progress,
        stop_request() as stop,
    ):
        execution = Execution(arguments.batch_size, arguments.threads, progress, stop)
        extraction = extract(images, arguments.cache, request, execution)
    for path, reason in extraction.tally.rejected:
        console.say(f"rejected {printable(path)}: {printable(reason)}")
    console.result(extraction.payload(), summary(extraction, arguments.cache))


def summary(extraction: "Extraction", cache: str) -> str:
    """Return the lines that the command prints."""
    from cache.commandline.printable import printable

    tally, model = extraction.tally, extraction.model
    rate = f", {extraction.images_per_second:.1f} images/s" if tally.computed else ""
    return (
        f"{tally.done} images: {tally.computed} computed, {tally.hits} already in the cache, "
        f"{tally.duplicates} duplicates, {len(tally.rejected)} rejected; "
        f"{extraction.survey.source.ignored} other files ignored\n"
        f"space {extraction.space.id} ({model.backbone} at {model.layer}, {model.precision}) "
        f"in {printable(cache)}; {extraction.seconds:.1f} s{rate}\n"
        f"next: python -m engine.fit_head --cache {printable(cache)}"
    )


if __name__ == "__main__":
    sys.exit(main())
