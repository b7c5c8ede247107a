"""How each command of this product begins and ends: options, messages, errors, exit codes."""

import argparse
import errno
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from cache.commandline.messages import messages_shown
from cache.commandline.printable import printable
from cache.commandline.streams import LINE, mend_streams, settle, tell
from cache.failures import Failure

INTERRUPTED = 130


@dataclass(frozen=True)
class Console:
    """Where a command speaks: messages on stderr, its result on stdout.

    json: the result is one JSON object and nothing else reaches stdout.
    quiet: no messages and no progress; the result and errors are still printed.
    """

    json: bool = False
    quiet: bool = False

    def say(self, line: str) -> None:
        """Print a message on stderr, unless quiet."""
        if not self.quiet:
            tell(line)

    def warn(self, line: str) -> None:
        """Print a warning on stderr, quiet or not."""
        tell(f"warning: {line}")

    def result(self, payload: Any, summary: str) -> None:
        """Print the command's result: `payload` as JSON where --json was given, else `summary`.

        Whatever a terminal would obey is escaped, line by line.
        """
        lines = (printable(line, LINE) for line in summary.split("\n"))
        print(json.dumps(payload) if self.json else "\n".join(lines), flush=True)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {printable(message, 600)} (see {self.prog} --help)\n")


def command_parser(prog: str, description: str, example: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every command has, and `example` below its help.

    A wrong option is one line on stderr and exit code 2.
    """
    parser = _Parser(
        prog=prog,
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_output_options(parser)
    return parser


def add_output_options(parser: argparse.ArgumentParser, default: bool | str = False) -> None:
    """Add `--json` and `--quiet`. default: argparse.SUPPRESS where a parser above has them too."""
    for option, text in (
        ("--json", "print one JSON object on stdout"),
        ("--quiet", "no messages and no progress"),
    ):
        parser.add_argument(option, action="store_true", default=default, help=text)


def run_command(
    parser: argparse.ArgumentParser,
    action: Callable[[argparse.Namespace, Console], int | None],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse `argv`, call `action`, and turn whatever ends it into an exit code.

    0 done (or what `action` returns); 1 the job failed; 2 usage; 130 interrupted. A failure is
    one line on stderr, without a traceback. Closed streams and readers that have gone end no job
    but that of printing the result.
    """
    mend_streams()
    try:
        arguments = parser.parse_args(argv)
        console = Console(json=arguments.json, quiet=arguments.quiet)
        with messages_shown(quiet=console.quiet):
            code = action(arguments, console)
        sys.stdout.flush()
        return code or 0
    except Failure as failure:
        tell(f"{parser.prog}: {failure}")
        return failure.exit_code
    except KeyboardInterrupt:
        tell(f"{parser.prog}: interrupted; finished work is kept, run the same command to go on")
        return INTERRUPTED
    except BrokenPipeError:
        return 1  # the reader of our output has gone (`| head`): nothing is left to say to it
    except OSError as error:
        tell(f"{parser.prog}: {describe_os_error(error)}")
        return 1
    except MemoryError:
        tell(f"{parser.prog}: out of memory; try a smaller --batch-size or fewer --threads")
        return 1
    finally:
        settle(sys.stdout)
        settle(sys.stderr)


def describe_os_error(error: OSError) -> str:
    """Return one line for an operating system's error: what failed, on which file, what to do."""
    name = f"{printable(os.fsdecode(error.filename))}: " if error.filename else ""
    advice = {
        errno.ENOSPC: "free some space and run the same command again; finished work is kept",
        errno.EDQUOT: "free some of your quota and run the same command; finished work is kept",
        errno.EROFS: "choose a place that can be written to",
        errno.EACCES: "check the permissions, or choose another place",
    }.get(error.errno or 0)
    reason = error.strerror or str(error) or type(error).__name__
    return f"{name}{reason}" + (f"; {advice}" if advice else "")
