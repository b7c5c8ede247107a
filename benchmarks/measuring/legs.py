"""A long benchmark in legs: each is kept when it is done, so that a run can stop and go on."""

import argparse
import json
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.measuring.machine import commit, machine
from cache.commandline.command import Console
from cache.failures import Interrupted
from cache.files import write_whole


class Legs:
    """The finished legs of a run, in a file. One process at a time.

    A file of another run (other options, another commit) is replaced.
    """

    def __init__(
        self, path: Path, run: dict[str, Any], say: Callable[[str], None], seconds: float | None
    ) -> None:
        """Open the file. run: what tells this run from others. seconds: when to pause."""
        self._path, self._say = path, say
        self._pause = None if seconds is None else time.monotonic() + seconds
        self._kept: dict[str, Any] = {"run": run, "legs": {}}
        if path.exists():
            kept = json.loads(path.read_bytes())
            if kept["run"] == run:
                self._kept = kept

    def leg(self, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return a leg's result, measured now if that was not done yet.

        Raises:
            Interrupted: the time for this part of the run is over; all legs so far are kept.
        """
        legs: dict[str, Any] = self._kept["legs"]
        if name not in legs:
            if self._pause is not None and time.monotonic() > self._pause:
                raise Interrupted(f"paused before {name}; run the same command again to go on")
            self._say(f"measuring {name}")
            started = datetime.now(timezone.utc).isoformat(timespec="seconds")
            legs[name] = {"started": started, **measure()}
            write_whole(self._path, json.dumps(self._kept, indent=1).encode("ascii"))
        found: dict[str, Any] = legs[name]
        return found


def add_pause(parser: argparse.ArgumentParser) -> None:
    """Add the option that stops a run after some time; `open_legs` reads it."""
    parser.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help="pause after M minutes; the same command goes on (default: never)",
    )


def open_legs(path: Path, arguments: argparse.Namespace, console: Console) -> Legs:
    """Return the legs kept in a file, if they are of these options, this commit and machine."""
    ways_to_run = ("minutes", "json", "quiet")
    options = {
        name: str(value) for name, value in vars(arguments).items() if name not in ways_to_run
    }
    run = {"options": options, "commit": commit(), "machine": machine()}
    seconds = None if arguments.minutes is None else 60 * arguments.minutes
    return Legs(path, run, console.say, seconds)
