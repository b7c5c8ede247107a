"""Images -> labels.

python -m engine.predict IMAGE... --head DIR
"""

import argparse
import sys
from collections.abc import Iterable, Sequence

from cache.commandline.command import Console, command_parser, run_command
from cache.commandline.options import count, path
from cache.commandline.words import counted
from engine.backbones.options import add_backbone_options
from engine.images.formats import VIEWS


def build_parser(prog: str = "python -m engine.predict") -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = command_parser(
        prog,
        "Say what is in images, by a head that was trained. Exit code 1 if any image failed.",
        f"{prog} cat.jpg holidays --head pets/heads/NAME",
    )
    parser.add_argument(
        "images",
        type=path,
        metavar="IMAGE",
        nargs="+",
        help="files, folders or archives (zip, tar)",
    )
    parser.add_argument(
        "--head", type=path, metavar="DIR", help="what fit_head wrote: its folder or head.npz"
    )
    parser.add_argument(
        "--cache",
        type=path,
        metavar="DIR",
        help="take its newest head; with --head: look for the backbone here too (default: the "
        "head's own cache)",
    )
    parser.add_argument(
        "--csv",
        action="store_true",
        help="print a table: path,label,probability,error and a column for each class",
    )
    parser.add_argument(
        "--views",
        type=int,
        choices=VIEWS,
        default=1,
        help="average over the image and its mirror image (2), and four crops as well (6); each "
        "view is a pass of the backbone (default: 1)",
    )
    parser.add_argument(
        "--unsure",
        type=_probability,
        default=0.0,
        metavar="P",
        help="say unsure where no class has this probability",
    )
    own = "the head's, where it was exported before"
    add_backbone_options(parser, backbone=own, weights=own)
    parser.add_argument("--batch-size", type=count, metavar="N", help="images run together")
    parser.add_argument("--threads", type=count, metavar="N", help="default: one for each core")
    return parser


def main(argv: Sequence[str] | None = None, prog: str = "python -m engine.predict") -> int:
    """Run the command; return its exit code."""
    return run_command(build_parser(prog), _predict, argv)


def _probability(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a probability, 0 to 1")
    return value


def _predict(arguments: argparse.Namespace, console: Console) -> int:
    import shutil
    import time

    from cache.failures import Interrupted, UsageFailure
    from engine.classifiers.find_backbone import named_backbone
    from engine.classifiers.load import newest_head, open_classifier
    from engine.classifiers.output import Answers, Outcome, csv_lines, json_lines, text_lines
    from engine.process.execution import Execution
    from engine.process.progress import shown_progress
    from engine.process.stop import stop_request

    if arguments.csv and arguments.json:
        raise UsageFailure("--csv and --json are two forms of the result; choose one")
    if arguments.head is None and arguments.cache is None:
        raise UsageFailure("give --head DIR, or --cache DIR for the newest head of a cache")
    started, head = time.perf_counter(), arguments.head
    if head is None:
        head = newest_head(arguments.cache)
        console.say(f"head {head}")
    named = named_backbone(arguments)
    classifier = open_classifier(head, arguments.cache, named, views=arguments.views)
    answers = Answers(classifier.head.classes, arguments.unsure)
    outcome = Outcome(answers)
    terminal = sys.stdout.isatty()
    # Where the lines themselves appear on the terminal, a bar would be drawn across them.
    with (
        shown_progress(quiet=console.quiet or terminal) as progress,
        stop_request() as stop,
    ):
        execution = Execution(arguments.batch_size, arguments.threads, progress, stop)
        groups = outcome.counted(classifier.classify(arguments.images, execution))
        if arguments.json:
            _write(json_lines(groups, answers), "utf-8")
        elif arguments.csv:
            _write(csv_lines(groups, answers), "utf-8")
        else:
            columns = shutil.get_terminal_size().columns if terminal else None
            _write(text_lines(groups, answers, columns), sys.stdout.encoding or "utf-8")
        if stop.is_set():
            raise Interrupted(
                f"stopped after {counted(outcome.predicted + outcome.failed, 'image')}"
            )
    seconds = time.perf_counter() - started
    classified = f"{counted(outcome.predicted, 'image')} classified, {outcome.failed:,} failed"
    if arguments.unsure:
        share = outcome.unsure / max(1, outcome.predicted)
        classified += f", {outcome.unsure} unsure ({share:.1%})"
    console.say(f"{classified}; {seconds:.1f} s")
    return 1 if outcome.failed else 0


def _write(lines: Iterable[str], encoding: str) -> None:
    """Write each line to stdout at once; what the encoding lacks is written as an escape."""
    for line in lines:
        sys.stdout.buffer.write(line.encode(encoding, "backslashreplace"))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
