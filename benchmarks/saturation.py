"""int8 on a CPU without VNNI, under emulation, against this one, bit by bit.

python -m benchmarks.saturation --emulator qemu-x86_64 --cpu Haswell --json out.json

Before VNNI, x86 adds two products of uint8 and int8 in 16 bits, which saturate; weights up to 64
cannot reach the end of them (engine/backbones/saturation.py). Two small networks, one with weights
drawn from a normal distribution and one with large ones throughout, are made int8 here with 127 and
with 64 levels, and run here and under emulation (Debian: apt-get install qemu-user). Each row
says how far the features there are from those here, and both from fp32.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engine.backbones.preprocessing import PREPROCESSINGS
from engine.backbones.saturation import FULL_LEVELS, REDUCED_LEVELS, weight_levels
from engine.exporters.graph import write_model
from engine.exporters.network import graph_of
from engine.graphs.session import available_cores, run_over, session
from engine.precision.parity import cosine_similarities, relative_error
from engine.quantization.quantize import quantize

SIDE = 32
IMAGES = 64


def main() -> None:
    """Compare and print a table; write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--emulator", default="qemu-x86_64", metavar="PROGRAM")
    parser.add_argument("--cpu", default="Haswell", help="a model that the emulator knows")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--inside", metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        _run_all(Path(arguments.inside))
        return
    if shutil.which(arguments.emulator) is None:
        raise SystemExit(f"there is no {arguments.emulator}; Debian has it in qemu-user")
    result = compare(arguments.emulator, arguments.cpu)
    print(f"weights up to {result['levels']['here']} here, ", end="")
    print(f"{result['levels']['emulated']} on an emulated {arguments.cpu}")
    print(f"{'weights':8} levels  bits equal  difference  cosine to fp32: here  emulated")
    for row in result["rows"]:
        print(
            f"{row['weights']:8} {row['levels']:6}  {row['equal']:10.1%}  {row['difference']:10.4f}"
            f"  {row['cosine_here']:20.4f}  {row['cosine_emulated']:8.4f}"
        )
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def compare(emulator: str, cpu: str) -> dict[str, Any]:
    """Run the networks here and under emulation; return levels and a row for each of them.

    equal: the share of features that are the same bits. difference: |emulated - here| / |here|.
    cosine_...: mean over the images, to fp32 here.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wide = {}
        for weights in ("normal", "large"):
            wide[weights] = _make(folder, weights)
        here = _run_all(folder)
        command = [emulator, "-cpu", cpu, sys.executable, "-m", "benchmarks.saturation"]
        finished = subprocess.run(
            [*command, "--inside", str(folder)], capture_output=True, check=False
        )
        if finished.returncode:
            raise SystemExit(f"{emulator} failed: {finished.stderr.decode(errors='replace')}")
        there = _features(folder)
    rows = []
    for weights, fp32 in wide.items():
        for levels in (FULL_LEVELS, REDUCED_LEVELS):
            one, other = here[f"{weights}-{levels}"], there[f"{weights}-{levels}"]
            rows.append(
                {
                    "weights": weights,
                    "levels": levels,
                    "equal": float((one == other).mean()),
                    "difference": relative_error(one, other),
                    "cosine_here": float(cosine_similarities(one, fp32).mean()),
                    "cosine_emulated": float(cosine_similarities(other, fp32).mean()),
                }
            )
    levels_of = {"here": int(here["levels"]), "emulated": int(there["levels"])}
    return {"cpu": cpu, "cores": available_cores(), "levels": levels_of, "rows": rows}


def _make(folder: Path, weights: str) -> np.ndarray:
    """Write a network's int8 forms; return its fp32 features."""
    path = folder / "fp32"
    write_model(graph_of(_network(weights), {}, None), PREPROCESSINGS["caffe"], {}, path)
    for levels in (FULL_LEVELS, REDUCED_LEVELS):
        int8 = quantize(onnx.load(path), PREPROCESSINGS["caffe"], _pixels(0), levels=levels)
        (folder / f"{weights}-{levels}.onnx").write_bytes(int8.SerializeToString())
    return _run(path)


def _network(weights: str) -> onnx.ModelProto:
    """Return two convolutions and two dense layers over `image`, (N, 3, SIDE, SIDE)."""
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> np.ndarray:
        fan = np.prod(shape[1:]) if len(shape) == 4 else shape[0]
        if weights == "normal":
            values = rng.standard_normal(shape)
        else:  # pairs of large ones of one sign, as many up as down
            signs = rng.choice([-1, 1], shape)
            values = signs * rng.uniform(0.8, 1.2, shape)
        return np.asarray(values * np.sqrt(2 / fan), np.float32)

    constants = {
        "k0": drawn(32, 3, 3, 3) * np.float32(0.02),
        "k1": drawn(32, 32, 3, 3),
        "d0": drawn(32 * 8 * 8, 128),
        "d1": drawn(128, 64),
    }
    conv: dict[str, Any] = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["image", "k0"], ["a"], **conv),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "k1"], ["c"], **conv),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["e"]),
        helper.make_node("Gemm", ["e", "d0"], ["f"]),
        helper.make_node("Relu", ["f"], ["g"]),
        helper.make_node("Gemm", ["g", "d1"], ["h"]),
    ]
    graph = helper.make_graph(
        nodes,
        "saturation",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("h", TensorProto.FLOAT, ["N", 64])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _pixels(seed: int) -> np.ndarray:
    """Return seeded pictures of flat patches and noise, uint8 (IMAGES, SIDE, SIDE, 3)."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 256, (IMAGES, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)
    return np.clip(patches + rng.normal(0, 12, patches.shape), 0, 255).astype(np.uint8)


def _run(path: Path) -> np.ndarray:
    batches = run_over(session(path), _pixels(1), ["features"])
    return np.concatenate([features for (features,) in batches])


def _run_all(folder: Path) -> Mapping[str, np.ndarray]:
    """Run all int8 models of a folder and keep their features there, with this CPU's levels."""
    found: dict[str, Any] = {path.stem: _run(path) for path in sorted(folder.glob("*.onnx"))}
    np.savez(folder / "features.npz", **found, levels=np.array(weight_levels()))
    return _features(folder)


def _features(folder: Path) -> Mapping[str, np.ndarray]:
    with np.load(folder / "features.npz") as arrays:
        return dict(arrays)


if __name__ == "__main__":
    main()
