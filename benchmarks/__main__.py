"""All benchmarks, one after another.

python -m benchmarks --quick
"""

import sys
import time

from benchmarks.measure import python, run
from benchmarks.options import names
from cache.command import Console, command_parser, run_command
from cache.failures import UsageFailure

# `compare` runs `end_to_end` and `cached` too.
QUICK = ("compare", "scratch_cnn", "preprocessing", "backbones", "head", "peers")


def main(argv: list[str] | None = None) -> int:
    """Run the benchmarks; return an exit code."""
    parser = command_parser(
        "python -m benchmarks",
        "Run every benchmark with small inputs: whether they work, not how fast anything is. "
        "For figures run them one by one, see docs/benchmarks.md.",
        "python -m benchmarks --quick",
    )
    parser.add_argument("--quick", action="store_true", help="needed: the others take long")
    parser.add_argument("--only", type=names, default=QUICK, metavar="A,B", help="some of them")
    parser.add_argument("--results", metavar="DIR", help="where the JSON goes")
    return run_command(parser, _run, argv)


def _run(arguments: object, console: Console) -> None:
    given = vars(arguments)
    if not given["quick"]:
        raise UsageFailure("only python -m benchmarks --quick runs them all")
    folder = ["--results", given["results"]] if given["results"] else []
    seconds = {}
    for name in given["only"]:
        console.say(f"benchmarks.{name} --quick")
        started = time.perf_counter()
        run(python(f"benchmarks.{name}", "--quick", "--quiet", *folder))
        seconds[name] = round(time.perf_counter() - started, 1)
    lines = [f"{name}: {value} s" for name, value in seconds.items()]
    console.result(seconds, "\n".join([*lines, f"{sum(seconds.values()):.0f} s in all"]))


if __name__ == "__main__":
    sys.exit(main())
