"""The options and the ending that all benchmarks have."""

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measuring.record import RESULTS, record, write_record
from cache.commandline.command import Console, command_parser

SOURCE_HELP = "a folder, .zip, .tar[.gz] or .csv of images with classes (default: drawn pictures)"


def benchmark_parser(name: str, description: str, example: str) -> argparse.ArgumentParser:
    """Return a parser for `python -m benchmarks.NAME`; `example` is what follows that."""
    parser = command_parser(
        f"python -m benchmarks.{name}", description, f"python -m benchmarks.{name} {example}"
    )
    parser.add_argument(
        "--quick", action="store_true", help="seconds instead of minutes: small inputs, same code"
    )
    parser.add_argument(
        "--results",
        metavar="DIR",
        help="where the JSON goes (default: benchmarks/results, with --quick its folder quick)",
    )
    return parser


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add the argument SOURCE, which may be left out."""
    parser.add_argument("source", nargs="?", metavar="SOURCE", help=SOURCE_HELP)


def add_work(parser: argparse.ArgumentParser) -> None:
    """Add the option for the folder of what a benchmark makes on its way."""
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(tempfile.gettempdir()) / "onceover-benchmarks",
        metavar="DIR",
        help="where sources, caches and unfinished results are kept (default: %(default)s)",
    )


@contextmanager
def work_folder(arguments: argparse.Namespace) -> Iterator[Path]:
    """Give the folder of `add_work`; with `--quick` an empty one that is gone afterwards."""
    if arguments.quick:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
    else:
        work: Path = arguments.work
        work.mkdir(parents=True, exist_ok=True)
        yield work


def positive(text: str) -> int:
    """Return a positive whole number, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def numbers(text: str) -> tuple[int, ...]:
    """Return whole numbers separated by commas, for argparse."""
    return tuple(int(part) for part in text.split(","))


def names(text: str) -> tuple[str, ...]:
    """Return names separated by commas, for argparse."""
    return tuple(text.split(","))


def results_folder(arguments: argparse.Namespace) -> Path:
    """Return where a benchmark's files go."""
    return Path(arguments.results or (RESULTS / "quick" if arguments.quick else RESULTS))


def finish(
    arguments: argparse.Namespace,
    console: Console,
    name: str,
    results: dict[str, Any],
    summary: str,
) -> None:
    """Write the benchmark's JSON and print its table, or with --json the JSON."""
    payload = record(name, _recorded(arguments), results)
    path = write_record(results_folder(arguments), payload)
    console.say(f"written: {path}")
    console.result(payload, summary)


def _recorded(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options as JSON values; of files their names alone, none of this machine's."""
    hidden = ("json", "results", "work")
    return {name: _plain(value) for name, value in vars(arguments).items() if name not in hidden}


def _plain(value: Any) -> Any:
    if isinstance(value, Path) or (isinstance(value, str) and {"/", os.sep} & set(value)):
        return Path(value).name
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value
