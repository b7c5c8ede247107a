"""Images -> labels.

python -m engine.predict IMAGE... --head DIR
"""

import argparse
import sys
from collections.abc import Sequence

from cache.commandline.command import Console, command_parser, run_command
from engine.backbones.backbone_options import add_backbone_options


def build_parser(prog: str = "python -m engine.predict") -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = command_parser(
        prog,
        "Say what is in images, by a head that was trained. Exit code 1 if any image failed.",
        f"{prog} cat.jpg holidays --head pets/heads/NAME",
    )
    parser.add_argument(
        "images", metavar="IMAGE", nargs="+", help="files, folders or archives (zip, tar)"
    )
    parser.add_argument(
        "--head", required=True, metavar="DIR", help="what fit_head wrote: its folder or head.npz"
    )
    parser.add_argument(
        "--csv", action="store_true", help="print a table: path,label,probability,error"
    )
    own = "the head's, where it was exported before"
    add_backbone_options(parser, backbone=own, weights=own)
    parser.add_argument(
        "--cache", metavar="DIR", help="look for the backbone here too (default: the head's cache)"
    )
    parser.add_argument("--batch-size", type=_count, metavar="N", help="images run together")
    parser.add_argument("--threads", type=_count, metavar="N", help="default: one for each core")
    return parser


def main(argv: Sequence[str] | None = None, prog: str = "python -m engine.predict") -> int:
    """Run the command; return its exit code."""
    return run_command(build_parser(prog), _predict, argv)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _predict(arguments: argparse.Namespace, console: Console) -> int:
    from cache.failures import UsageFailure
    from engine.classifiers.find_backbone import named_backbone
    from engine.classifiers.predict import PredictOptions, predict

    if arguments.csv and arguments.json:
        raise UsageFailure("--csv and --json are two forms of the result; choose one")
    options = PredictOptions(
        images=arguments.images,
        head=arguments.head,
        form="json" if arguments.json else "csv" if arguments.csv else "text",
        cache=arguments.cache,
        named=named_backbone(arguments),
        batch_size=arguments.batch_size,
        threads=arguments.threads,
    )
    # Where the lines themselves appear on the terminal, a bar would be drawn across them.
    progress = not (console.quiet or sys.stdout.isatty())
    return 1 if predict(options, console.say, progress=progress).failed else 0


if __name__ == "__main__":
    sys.exit(main())
