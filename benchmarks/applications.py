"""Every network that goes by a name: whether its features are Keras' own.

python -m benchmarks.applications
"""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.baselines.keras_features import SEED, is_damped, made_pixels
from benchmarks.measuring.legs import add_pause, open_legs
from benchmarks.measuring.options import (
    add_work,
    benchmark_parser,
    finish,
    names,
    results_folder,
    work_folder,
)
from benchmarks.measuring.process import python, run
from benchmarks.measuring.record import read_record, table
from cache.commandline.command import Console, run_command
from engine.backbones.architectures import ARCHITECTURES
from engine.backbones.backbone import Backbone
from engine.backbones.model import ModelFile, read_description
from engine.backbones.request import backbone_request
from engine.backbones.store import export_in_child
from engine.graphs.model_file import data_file

# The largest difference over the largest value that counts as the same features.
ALLOWED = 1e-4

# Small ones first: the memory that one takes is its weights several times.
BY_SIZE = tuple(sorted(ARCHITECTURES, key=lambda name: ARCHITECTURES[name].cut(None)[1].parameters))


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "applications",
        "Compare the features of each named network with Keras' own, at random weights, each in "
        "processes of its own. Exported networks are kept for benchmarks.speeds. Stopped, the "
        "same command goes on.",
        "--minutes 10",
    )
    parser.add_argument(
        "--only", type=names, default=BY_SIZE, metavar="A,B", help="some of them (default: all)"
    )
    add_pause(parser)
    add_work(parser)
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    if arguments.quick:
        arguments.only = ("mobilenet_v3_small",)
    with work_folder(arguments) as work:
        legs = open_legs(work / "applications-legs.json", arguments, console)
        rows = {name: legs.leg(name, partial(_compared, name, work)) for name in arguments.only}
    results = {"allowed": ALLOWED, "networks": with_earlier(arguments, "applications", rows)}
    finish(arguments, console, "applications", results, summary(results))


def with_earlier(arguments: argparse.Namespace, name: str, rows: dict[str, Any]) -> dict[str, Any]:
    """Return the rows of networks, and those of others that an earlier run recorded, by size."""
    known = dict(rows)
    if not arguments.quick and (results_folder(arguments) / f"{name}.json").exists():
        known = {**read_record(results_folder(arguments), name)["results"]["networks"], **rows}
    return {network: known[network] for network in BY_SIZE if network in known}


def model_folder(work: Path, name: str) -> Path:
    """Return where the exported network of a name is kept."""
    return work / "applications" / name


def exported(work: Path, name: str, weights: Path | None = None) -> ModelFile:
    """Return a named network with random weights, exported now where that was never done.

    weights: a file of them; None for `random:SEED`.
    """
    folder = model_folder(work, name)
    if (folder / "model.json").exists():
        return read_description(folder / "model.json", folder / "model.onnx")
    folder.mkdir(parents=True, exist_ok=True)
    request = backbone_request(name, str(weights or f"random:{SEED}"), None, None)
    return export_in_child(request, folder)


def _compared(name: str, work: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        out, weights = Path(folder) / "features.npy", Path(folder) / "drawn.weights.h5"
        more = ["--weights-out", str(weights)] if is_damped(name) else []
        keras = run(python("benchmarks.baselines.keras_features", name, "--out", str(out), *more))
        wanted = np.load(out)
        model = exported(work, name, weights if is_damped(name) else None)
    description = model.description
    features = Backbone(model).features(made_pixels((description.height, description.width)))
    largest = float(np.abs(wanted).max())
    return {
        "layer": description.layer,
        "size": [description.height, description.width],
        "preprocessing": description.preprocessing,
        "parameters": description.parameters,
        "features": description.features,
        "megabytes": megabytes(model),
        "difference": float(np.abs(features - wanted).max()) / largest,
        "largest": largest,
        "keras_peak_mib": keras.payload()["peak_mib"],
    }


def megabytes(model: ModelFile) -> float:
    """Return the size of a model's files."""
    files = (model.path, data_file(model.path))
    return round(sum(path.stat().st_size for path in files if path.exists()) / 1e6, 1)


def summary(results: dict[str, Any]) -> str:
    """Return the results as a Markdown table."""
    rows = [
        [
            name,
            row["layer"],
            "x".join(map(str, row["size"])),
            f"{row['parameters']:,}",
            f"{row['features']:,}",
            f"{row['megabytes']:,.1f}",
            f"{row['difference']:.0e}",
        ]
        for name, row in results["networks"].items()
    ]
    lines = [table(["network", "cut", "size", "parameters", "features", "MB", "difference"], rows)]
    others = [n for n, row in results["networks"].items() if row["difference"] > results["allowed"]]
    if others:
        lines.append(f"Not Keras' features: {', '.join(others)}.")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
