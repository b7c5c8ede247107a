"""The parser of `python -m cache`, and the command as a whole."""

import argparse
from collections.abc import Sequence

from cache.commandline.actions import run_action
from cache.commandline.command import add_output_options, command_parser, run_command
from cache.commandline.options import path


def build_parser(prog: str = "python -m cache") -> argparse.ArgumentParser:
    """Return the parser of `python -m cache`."""
    parser = command_parser(prog, "Look after a feature cache.", f"{prog} info features")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        add_output_options(sub, argparse.SUPPRESS)
        sub.add_argument("cache", metavar="DIR", type=path, help="the cache")
        return sub

    command("info", "what the cache holds")
    command("verify", "check every file and every row's feature; exit 1 names what is amiss")
    command("compact", "few large parts instead of many small ones")
    merge = command("merge", "bring other caches into this one")
    merge.add_argument("others", metavar="OTHER", type=path, nargs="+", help="caches to read")
    pack = command("pack", "one plain HDF5 file: features, labels, classes, paths, digests")
    pack.add_argument("out", metavar="OUT.h5", type=path, help="the file to write")
    pack.add_argument("--space", metavar="ID", help="which features (default: the only ones)")
    forget = command("forget", "take a dataset's rows away; the features stay until gc")
    forget.add_argument("dataset", metavar="DATASET", help="its name, its path, or its last part")
    forget.add_argument("--yes", action="store_true", help="do not ask")
    collect = command("gc", "remove spaces and features that no dataset uses, and leftovers")
    collect.add_argument("--yes", action="store_true", help="do not ask")
    collect.add_argument(
        "--min-age",
        type=float,
        default=3600.0,
        metavar="SECONDS",
        help="leave younger files: a run under way may need them (default: 3600)",
    )
    return parser


def main(argv: Sequence[str] | None = None, prog: str = "python -m cache") -> int:
    """Run the command; return its exit code."""
    return run_command(build_parser(prog), run_action, argv)
