"""Photographs to features with what a user would write instead, and a kill half-way.

python -m benchmarks.peers [SOURCE]
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.inputs.photographs import draw, unpack
from benchmarks.measuring.legs import add_pause, open_legs
from benchmarks.measuring.machine import ROOT
from benchmarks.measuring.options import add_source, add_work, benchmark_parser, finish
from benchmarks.measuring.process import Run, python, run
from benchmarks.measuring.record import table
from benchmarks.product import make_ready
from cache.commandline.command import Console, run_command
from cache.failures import Failure
from engine.backbones.request import backbone_request

_TORCH = "scikit-learn pipeline with a PyTorch encoder"


@dataclass(frozen=True)
class _Way:
    """A command that turns photographs into features.

    out: what it leaves. imports: the package that it needs, if this product does not.
    """

    name: str
    command: Sequence[str]
    out: Path


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "peers",
        "Extract MobileNetV2 features with this product and with a Keras script of predict and "
        "np.save; then kill each half-way and start it again.",
        "PetImages.zip --weights mobilenet_v2.weights.h5",
    )
    add_source(parser)
    parser.add_argument(
        "--weights",
        default="random:0",
        metavar="imagenet|FILE|random:SEED",
        help="of MobileNetV2 (default: random:0)",
    )
    parser.add_argument(
        "--python", metavar="FILE", help="another Python, with torch and torchvision, for their row"
    )
    add_pause(parser)
    add_work(parser)
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    work = arguments.work / ("peers-quick" if arguments.quick else "peers")
    if arguments.quick:
        shutil.rmtree(work, ignore_errors=True)
        os.environ["ONCEOVER_MODELS"] = str(work / "models")
    work.mkdir(parents=True, exist_ok=True)
    legs = open_legs(work / "legs.json", arguments, console)
    folder = _photographs(arguments, work)
    request = backbone_request("mobilenet_v2", arguments.weights, None, None)
    make_ready(folder, work, request.options(), "fp32")
    ways = [
        _Way(
            "Onceover",
            python(
                "engine.extract", str(folder), "--cache", str(work / "cache"),
                *request.options(), "--precision", "fp32", "--json", "--quiet",
            ),
            work / "cache",
        ),
        _Way(
            "Keras predict and np.save",
            python(
                "benchmarks.baselines.keras_script", str(folder), str(work / "features.npy"),
                "--weights", arguments.weights,
            ),
            work / "features.npy",
        ),
    ]  # fmt: skip
    interpreter = arguments.python or sys.executable
    missing = {}
    if _has_torch(interpreter):
        script = str(ROOT / "benchmarks" / "baselines" / "torch_script.py")
        out = work / "torch.npy"
        ways.append(_Way(_TORCH, [interpreter, script, str(folder), str(out)], out))
    else:
        missing[_TORCH] = "torch and torchvision are not installed (--python names one that has)"
    rows = {}
    for way in ways:
        whole = legs.leg(f"{way.name}/whole", partial(_whole, way))
        rows[way.name] = {"whole": whole}
        if arguments.quick and way.out.suffix == ".npy":
            continue  # two more starts of TensorFlow
        killed = partial(_killed, way, whole["seconds"] / 2)
        rows[way.name] |= legs.leg(f"{way.name}/killed", killed)
    results = {
        "images": sum(1 for path in folder.rglob("*") if path.is_file()),
        "ways": rows,
        "missing": missing,
    }
    finish(arguments, console, "peers", results, summary(results))
    shutil.rmtree(work)


def _photographs(arguments: argparse.Namespace, work: Path) -> Path:
    """Return a folder with a sub-folder for each class: what all ways can read."""
    if not arguments.source:
        return draw(work / "drawn", 40 if arguments.quick else 2000)
    return unpack(Path(arguments.source), work / "photographs")


def _has_torch(interpreter: str) -> bool:
    code = "import sys; from importlib.util import find_spec as f; "
    code += "sys.exit(not all(map(f, ('torch', 'torchvision', 'sklearn'))))"
    return subprocess.run([interpreter, "-c", code], check=False).returncode == 0


def _clear(way: _Way) -> None:
    if way.out.is_dir():
        shutil.rmtree(way.out)
    else:
        way.out.unlink(missing_ok=True)


def _whole(way: _Way) -> dict[str, Any]:
    _clear(way)
    return run(way.command).payload()


def _killed(way: _Way, after: float) -> dict[str, Any]:
    """Kill the command after so many seconds, without a chance to tidy up, and start it again."""
    _clear(way)
    killed: Run = run(way.command, kill_after=after)
    if not killed.code:
        raise Failure(f"{way.name} had ended before it was killed; give a larger SOURCE")
    again = run(way.command)
    found: dict[str, Any] = {"killed_after": killed.payload(), "again": again.payload()}
    if way.out.is_dir():
        found["kept"] = again.result["hits"]
        found["computed_again"] = again.result["computed"]
    return found


def summary(results: dict[str, Any]) -> str:
    """Return the results as text with a Markdown table."""
    rows = []
    for name, found in results["ways"].items():
        cells = [f"{found['whole']['seconds']:.1f}", f"{found['whole']['peak_mib']:,.0f}"]
        if "again" in found:
            cells.append(f"{found['killed_after']['seconds']:.1f}")
            cells.append(f"{found['again']['seconds']:.1f}")
            cells.append(f"{found.get('kept', 0):,}")
        rows.append([name, *cells, *["-"] * (5 - len(cells))])
    header = [
        "way", "seconds", "peak MiB", "killed after", "seconds when started again", "images kept",
    ]  # fmt: skip
    lines = [
        f"MobileNetV2 (224 x 224), {results['images']:,} files",
        table(header, rows),
        *(f"{name}: not measured; {reason}" for name, reason in results["missing"].items()),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
