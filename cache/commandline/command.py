"""How each command of this product begins and ends: options, messages, errors, exit codes."""

import argparse
import errno
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import takewhile
from typing import Any, NoReturn

from cache.commandline.early import INTERRUPTED
from cache.commandline.interrupts import interrupts_noticed
from cache.commandline.messages import messages_shown
from cache.commandline.printable import printable
from cache.commandline.streams import LINE, mend_streams, settle, tell
from cache.failures import Failure


@dataclass(frozen=True)
class Console:
    """Where a command speaks: messages on stderr, its result on stdout.

    json: the result is one JSON object and nothing else reaches stdout.
    quiet: no messages and no progress; the result and errors are still printed.
    prog: how the command was called, for `words.command_line`.
    """

    json: bool = False
    quiet: bool = False
    prog: str = ""

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
    """Says what is wrong in one line, and which option was meant."""

    _words: Sequence[str] = ()

    def parse_known_args(  # type: ignore[override]  # its overloads differ in the namespace alone
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse as argparse does, and remember what."""
        self._words = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """End the command: exit code 2."""
        line = f"{message}{self._meant()}"
        self.exit(2, f"{self.prog}: {printable(line, 600)} (see {self.prog} --help)\n")

    def _meant(self) -> str:
        """Return which options those may stand for that there are not."""
        known = self._options()
        words = list(takewhile(lambda word: word != "--", self._words))
        typed = [word.split("=", 1)[0] for word in words if word.startswith("--")]
        wrong = [word for word in typed if word not in known]
        meant = [match for word in wrong for match in get_close_matches(word, known, 1)]
        return f"; did you mean {' and '.join(dict.fromkeys(meant))}?" if meant else ""

    def _options(self) -> list[str]:
        """Return the options of this parser and of the command below it that was chosen."""
        options = list(self._option_string_actions)
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for name in set(self._words) & set(action.choices):
                    options += action.choices[name]._option_string_actions
        return options


# A command with more options than this names in its first line those alone that it needs.
_FEW = 8


class _Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the first line short, wraps the description between words, and leaves the example."""

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: Any = None) -> None:
        """Add the line of usage."""
        needed = [one for one in actions if one.required or not one.option_strings]
        if len(actions) - len(needed) > _FEW:
            actions = [argparse.Action([], "", metavar="[options]"), *needed]
            groups = ()
        super().add_usage(usage, actions, groups, prefix)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("example:"):
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


def command_parser(prog: str, description: str, example: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every command has, and `example` below its help.

    A wrong option is one line on stderr and exit code 2.
    """
    parser = _Parser(
        prog=prog,
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=_Help,
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
    with interrupts_noticed() as interrupted:
        try:
            return _run(parser, action, argv)
        except (Exception, KeyboardInterrupt) as error:
            if interrupted.is_set() or isinstance(error, KeyboardInterrupt):
                what = "interrupted; finished work is kept, run the same command to go on"
                tell(f"{parser.prog}: {what}")
                return INTERRUPTED
            code = _report(parser.prog, error)
            if code is None:
                raise  # a fault of ours
            return code
        finally:
            settle(sys.stdout)
            settle(sys.stderr)


def _run(
    parser: argparse.ArgumentParser,
    action: Callable[[argparse.Namespace, Console], int | None],
    argv: Sequence[str] | None,
) -> int:
    arguments = parser.parse_args(argv)
    console = Console(arguments.json, arguments.quiet, parser.prog)
    with messages_shown(quiet=console.quiet):
        code = action(arguments, console)
    sys.stdout.flush()
    return code or 0


def _report(prog: str, error: Exception) -> int | None:
    """Say in a line what has ended a command; return its exit code, None where nothing is said."""
    if isinstance(error, Failure):
        tell(f"{prog}: {error}")
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        return 1  # the reader of our output has gone (`| head`): nothing is left to say to it
    if isinstance(error, OSError):
        tell(f"{prog}: {describe_os_error(error)}")
        return 1
    if isinstance(error, MemoryError):
        tell(f"{prog}: out of memory; try a smaller --batch-size or fewer --threads")
        return 1
    return None


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
