"""The console script: onceover extract|fit|review|predict|export|cache|demo.

Each command is the `main` of its module, which is imported when it is asked for.
"""

import contextlib
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from cache.commandline.early import say_interrupts

if TYPE_CHECKING:
    import argparse

say_interrupts()  # before what takes longer to import

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "extract": ("engine.extract", "images -> features in a cache, once for each image"),
        "fit": ("engine.fit_head", "features -> a trained head, its metrics and a report"),
        "review": ("engine.review", "what is wrong with the data: labels, duplicates, odd ones"),
        "compare": ("engine.compare", "backbones side by side on your images: right, fast, large"),
        "predict": ("engine.predict", "images -> labels, by a trained head"),
        "export": ("engine.export", "a backbone, or a whole classifier, as one ONNX file"),
        "cache": (
            "cache.__main__",
            "look after a cache: info, verify, compact, merge, pack, forget, gc",
        ),
        "demo": ("engine.demo.__main__", "try it all, without any download or data"),
    }
)


def build_parser() -> "argparse.ArgumentParser":
    """Return the parser of what comes before a command."""
    import argparse

    listed = "\n".join(f"  {name:<9}{text}" for name, (_, text) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="onceover",
        usage="onceover [-h] [--version] COMMAND ...",
        description="Run a frozen backbone once over every image, keep its features, train heads "
        "in seconds.",
        epilog=f"commands (onceover COMMAND --help tells more):\n{listed}\n\n"
        "example:\n  onceover demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names; return its exit code."""
    from cache.commandline.streams import mend_streams, settle, tell

    mend_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in COMMANDS:
        name, *rest = arguments
        command = import_module(COMMANDS[name][0])
        code: int = command.main(rest, prog=f"onceover {name}")
        return code
    parser = build_parser()
    options, unknown = parser.parse_known_args(arguments)
    if options.version and not unknown:
        from importlib.metadata import version

        with contextlib.suppress(OSError):  # nobody reads it
            print(f"onceover {version('onceover')}")
        settle(sys.stdout)
        return 0
    from difflib import get_close_matches

    said, meant = "no command", []
    if unknown:
        said, meant = f"no command {unknown[0]}", get_close_matches(unknown[0], COMMANDS, 1)
    choice = f"did you mean {meant[0]}?" if meant else f"choose from: {', '.join(COMMANDS)}"
    tell(f"onceover: {said}; {choice} (see onceover --help)")
    return 2


if __name__ == "__main__":
    sys.exit(main())
