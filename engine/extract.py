"""Source -> cache.

python -m engine.extract SOURCE --cache DIR
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cache.commandline.command import Console, command_parser, run_command
from cache.commandline.options import Options, count, path
from cache.failures import UsageFailure
from engine.backbones.options import (
    add_backbone_options,
    add_framing_options,
    add_precision_option,
)
from engine.sources.options import add_source_options, source_options_from

if TYPE_CHECKING:
    from cache.share import Share
    from engine.runner.survey import Survey


def build_parser(prog: str = "python -m engine.extract") -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = command_parser(
        prog,
        "Run a frozen backbone over each image of SOURCE that the cache does not hold yet.",
        f"{prog} PetImages.zip --cache pets --weights random:0",
    )
    parser.add_argument(
        "source",
        type=path,
        metavar="SOURCE",
        nargs="+",
        help="a folder, .zip, .tar[.gz], a table (.csv, .tsv, .parquet) or shards-{000..099}.tar; "
        "or the address of one: s3://, gs://, https://, ... (needs onceover[remote])",
    )
    parser.add_argument(
        "--cache",
        type=path,
        metavar="DIR",
        help="where features are kept (required, but for --dry-run)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what is found, and stop before any is read"
    )
    backbone = parser.add_argument_group("the backbone, and how pictures come to its size")
    add_backbone_options(backbone)
    add_precision_option(backbone, "auto")
    add_framing_options(backbone)
    add_source_options(parser.add_argument_group("what the source says"))
    _add_choice_options(parser.add_argument_group("which of the images, in a fair order"))
    _add_machine_options(parser.add_argument_group("how it runs, on one machine or more"))
    return parser


def _add_choice_options(group: Options) -> None:
    group.add_argument("--fraction", type=_fraction, metavar="F", help="of each class, 0 to 1")
    group.add_argument("--limit-per-class", type=count, metavar="N", help="images of each class")
    group.add_argument("--seed", type=int, default=0, metavar="S", help="of sample and order")
    group.add_argument(
        "--until-steady",
        action="store_true",
        help="stop when more images would not change a head's accuracy by --steady-points",
    )
    group.add_argument(
        "--steady-points",
        type=_points,
        default=0.5,
        metavar="P",
        help="hundredths of accuracy that twice the images would have to gain (default: 0.5)",
    )


def _add_machine_options(group: Options) -> None:
    group.add_argument(
        "--rehash",
        action="store_true",
        help="read every file again, also those whose size, times and number are as they were",
    )
    group.add_argument("--batch-size", type=count, metavar="N", help="never changes a feature")
    group.add_argument("--threads", type=count, metavar="N", help="never changes a feature")
    group.add_argument(
        "--cluster",
        metavar="WHERE",
        help="run on a Dask cluster: local:N, tcp://HOST:PORT, tls://HOST:PORT or the "
        "scheduler's FILE.json (needs onceover[dask])",
    )
    ways = group.add_mutually_exclusive_group()
    ways.add_argument(
        "--prepare",
        action="store_true",
        help="decide the precision and make its model, then stop: before --shard",
    )
    ways.add_argument(
        "--shard",
        type=_share,
        metavar="I/N",
        help="the I-th, from 0, of N disjoint shares; any number run at once, into one cache",
    )


def main(argv: Sequence[str] | None = None, prog: str = "python -m engine.extract") -> int:
    """Run the command; return its exit code."""
    return run_command(build_parser(prog), _extract, argv)


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 1")
    return value


def _points(text: str) -> float:
    value = float(text)
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 100")
    return value


def _share(text: str) -> "Share":
    from cache.share import Share

    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text} is not I/N, such as 0/8")
    return Share(int(index), int(count))


def _extract(arguments: argparse.Namespace, console: Console) -> int:
    if arguments.until_steady and arguments.shard:
        raise UsageFailure("--until-steady looks at all images; give it without --shard")
    if arguments.until_steady and arguments.prepare:
        raise UsageFailure("--prepare extracts nothing that --until-steady could look at; give one")
    from contextlib import ExitStack

    from engine.backbones.options import framing_from, request_from
    from engine.process.execution import Execution
    from engine.process.progress import shown_progress
    from engine.process.stop import stop_request
    from engine.runner.account import joined_payload, prepared, rejections, summary
    from engine.runner.extract import Extractor, FeatureRequest
    from engine.runner.until_steady import extract_until_steady

    if arguments.cache is None and not arguments.dry_run:
        raise UsageFailure("say where features are kept, by --cache DIR (see --help)")
    # A backbone that is not there is told before a large source is looked through.
    request = FeatureRequest(request_from(arguments), arguments.precision, framing_from(arguments))
    with ExitStack() as stack:
        # All are looked at before the first is extracted, so that a wrong one costs no pass.
        surveys = [stack.enter_context(images) for images in _surveys(arguments)]
        found = [line for images in surveys for line in _found(images, len(surveys) > 1)]
        for images in surveys:
            for line in images.source.warnings:
                console.warn(line)
        if arguments.dry_run:
            for absence in filter(None, (images.absence() for images in surveys)):
                console.warn(absence)
            payload = joined_payload([images.payload() for images in surveys])
            console.result(payload, "\n".join(found))
            return 0
        for line in found:
            console.say(line)
        progress = stack.enter_context(shown_progress(quiet=console.quiet))
        execution = Execution(
            arguments.batch_size,
            arguments.threads,
            progress,
            stack.enter_context(stop_request()),
            arguments.rehash,
            arguments.cluster,
        )
        # The largest first: what it says of the precision holds for all.
        order = sorted(surveys, key=lambda images: -len(images.samples))
        extractor = Extractor(arguments.cache, request)
        if arguments.prepare:
            choice = extractor.choose(order[0], execution)
            console.result(*prepared(choice, surveys, arguments.cache))
            return 0
        done = {}
        for images in order:
            if arguments.until_steady:
                points = arguments.steady_points
                done[id(images)] = extract_until_steady(extractor, images, points, execution)
            else:
                done[id(images)] = extractor.extract(images, execution)
    extractions = [done[id(images)] for images in surveys]
    for line in rejections(extractions):
        console.say(line)
    payload = joined_payload([extraction.payload() for extraction in extractions])
    console.result(payload, summary(extractions, arguments.cache, console.prog))
    some = any(e.tally.done > len(e.tally.rejected) for e in extractions)
    # A share of a small source may have no image at all.
    return 0 if some or not any(len(images.samples) for images in surveys) else 1


def _surveys(arguments: argparse.Namespace) -> Iterator["Survey"]:
    from engine.runner.survey import Selection, survey

    options = source_options_from(arguments)
    selection = Selection(
        arguments.fraction, arguments.limit_per_class, arguments.seed, arguments.shard
    )
    for source in arguments.source:
        yield survey(source, selection, options)


def _found(images: "Survey", named: bool) -> list[str]:
    """Return what was found in a source, each line with its name where there are several."""
    from cache.commandline.printable import printable

    prefix = f"{printable(images.location)}: " if named else ""
    return [prefix + line for line in images.lines()]


if __name__ == "__main__":
    sys.exit(main())
