"""All benchmarks, one after another.

python -m benchmarks --quick
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.measuring.options import names
from benchmarks.measuring.process import python, run
from cache.commandline.command import Console, command_parser, run_command
from cache.failures import UsageFailure
from engine.graphs.session import available_cores

# `compare` runs `end_to_end` and `cached` too. The long ones first.
QUICK = (
    "compare",
    "peers",
    "backbones",
    "head",
    "baselines.scratch_cnn",
    "preprocessing",
    "extraction",
    "frontier",
    "overhead",
    "calibration",
    "verdict",
    "parity",
    "augmentation",
    "unchanged",
)


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
    started = time.perf_counter()

    def quick(name: str) -> float:
        console.say(f"benchmarks.{name} --quick")
        return run(python(f"benchmarks.{name}", "--quick", "--quiet", *folder)).seconds

    # As many at a time as there are cores: nobody will look at the timings.
    with ThreadPoolExecutor(available_cores()) as pool:
        each = list(pool.map(quick, given["only"]))
    seconds = {name: round(value, 1) for name, value in zip(given["only"], each, strict=True)}
    lines = [f"{name}: {value} s" for name, value in seconds.items()]
    total = f"{time.perf_counter() - started:.0f} s in all"
    console.result(seconds, "\n".join([*lines, total]))


if __name__ == "__main__":
    sys.exit(main())
