"""Fuzzes for so many minutes of processor time: the property-based tests of some files.

    python tests/fuzz_minutes.py --minutes 20 tests/images/test_decode.py

Each round is a run of pytest with ONCEOVER_FUZZ examples of each property and a new seed. Prints
the rounds and examples that passed; stops at the first round that fails, with its output and seed.
Processor time, so that a machine that is busy or paused is not counted (Linux and macOS).
"""

import argparse
import os
import random
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Of Hypothesis' statistics: whose they are, and the examples of each of its phases.
_NAME = re.compile(r"^(tests/\S+::\S+):$")
_PASSED = re.compile(r"(\d+) passing\b")


def play(tests: list[str], examples: int, seed: int) -> tuple[int, dict[str, int], str]:
    """Run a round; return pytest's exit code, the examples of each property, and its output."""
    chosen = ["-m", "hypothesis", f"--hypothesis-seed={seed}", "--hypothesis-show-statistics"]
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen, *tests],
        cwd=ROOT,
        env={**os.environ, "ONCEOVER_FUZZ": str(examples)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    passed, name = dict[str, int](), ""
    for line in outcome.stdout.splitlines():
        if heading := _NAME.match(line):
            name = heading[1]
        elif name and (number := _PASSED.search(line)):
            passed[name] = passed.get(name, 0) + int(number[1])
    return outcome.returncode, passed, outcome.stdout


def processor_minutes() -> float:
    """Return the processor time of the rounds that have ended, their child processes included."""
    times = os.times()
    return (times.children_user + times.children_system) / 60


def main() -> int:
    """Run the rounds; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tests", nargs="+", help="files or folders of tests")
    parser.add_argument("--minutes", type=float, default=20, help="of the processor")
    parser.add_argument("--examples", type=int, default=500, help="of each property, a round")
    options = parser.parse_args()
    rounds, total = 0, dict[str, int]()
    while (minutes := processor_minutes()) < options.minutes:
        seed = random.SystemRandom().randrange(2**31)
        code, examples, output = play(options.tests, options.examples, seed)
        rounds += 1
        for name, number in examples.items():
            total[name] = total.get(name, 0) + number
        print(f"{minutes:.1f} min: seed {seed}, {sum(examples.values())} examples", flush=True)
        if code:
            print(output)
            break
    for name, number in sorted(total.items()):
        print(f"{number:>9} {name}")
    print(f"{rounds} rounds, {sum(total.values())} examples, {'FAILED' if code else 'all passed'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
