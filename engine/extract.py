"""Source -> cache.

python -m engine.extract SOURCE --cache DIR
"""

import argparse
import sys
from collections.abc import Sequence

from cache.commandline.command import Console, command_parser, run_command
from engine.backbones.backbone_options import add_backbone_options, add_precision_option


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
    from engine.backbones.store import request_from
    from engine.runner.extract import ExtractOptions, extract_source

    options = ExtractOptions(
        source=arguments.source,
        cache=arguments.cache,
        request=request_from(arguments),
        precision=arguments.precision,
        interpolation=arguments.interpolation,
        fraction=arguments.fraction,
        limit_per_class=arguments.limit_per_class,
        seed=arguments.seed,
        batch_size=arguments.batch_size,
        threads=arguments.threads,
    )
    report = extract_source(options, console.say, quiet=console.quiet)
    tally, cache = report.tally, printable(arguments.cache)
    for path, reason in tally.rejected:
        console.say(f"rejected {printable(path)}: {printable(reason)}")
    console.result(
        report.payload(),
        f"{report.samples} images: {tally.computed} computed, {tally.hits} already in the cache, "
        f"{tally.duplicates} duplicates, {len(tally.rejected)} rejected; "
        f"{report.ignored} other files ignored\n"
        f"space {report.space.id} ({report.model.backbone} at {report.model.layer}, "
        f"{report.model.precision}) in {cache}; {report.seconds:.1f} s"
        + (f", {tally.computed / report.seconds:.1f} images/s" if tally.computed else "")
        + f"\nnext: python -m engine.fit_head --cache {cache}",
    )


if __name__ == "__main__":
    sys.exit(main())
