"""The whole extraction against a bare ONNX Runtime loop over the same model and images.

python benchmarks/extraction.py SOURCE --images 200 --json out.json

The bare loop has the decoded pixels in memory and runs them in batches of 16 with a thread for
each core: what the machine can give. The session is the backbone's threads inside the command,
the command is the whole process, imports and decoding included. Rounds are interleaved, since a
machine's speed drifts; each figure is the median over the rounds.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from engine.images import Rejected, decode
from engine.model_store import BackboneRequest, backbone_request, exported_model
from engine.sampling import interleave, select
from engine.sessions import available_cores
from engine.sources import open_source

BATCH = 16


def main() -> None:
    """Measure and print a table; write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("source")
    parser.add_argument("--backbone", default="vgg16")
    parser.add_argument("--weights", default="random:0")
    parser.add_argument("--images", type=int, default=200, help="of two classes together")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    request = backbone_request(arguments.backbone, arguments.weights, None, None)
    model = exported_model(request, print)
    pixels = _pixels(arguments.source, arguments.images, model.description.height)
    rounds = [_round(arguments, request, model.path, pixels) for _ in range(arguments.rounds)]
    figures = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    result = {
        "backbone": arguments.backbone,
        "images": len(pixels),
        "cores": available_cores(),
        **{name: round(value, 4) for name, value in figures.items()},
        "session_to_bare": round(figures["session"] / figures["bare"], 4),
        "command_to_bare": round(figures["command"] / figures["bare"], 4),
        "command_peak_bytes": _peak_of_children(),
        "rounds": rounds,
    }
    print(f"{len(pixels)} images, {arguments.backbone}, {available_cores()} cores, median")
    print(f"bare ONNX Runtime loop    {result['bare']:8.2f} images/s")
    print(f"session in the command    {result['session']:8.2f} images/s", end="")
    print(f"  {result['session_to_bare']:.1%} of bare")
    print(f"whole command             {result['command']:8.2f} images/s", end="")
    print(f"  {result['command_to_bare']:.1%} of bare")
    print(f"second run, whole         {result['second_run_seconds']:8.2f} s")
    if result["command_peak_bytes"]:
        print(f"peak memory of the command {result['command_peak_bytes'] / 1e9:7.2f} GB")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _pixels(location: str, images: int, side: int) -> np.ndarray:
    """Return the pixels of the images that the command takes, uint8 (N, side, side, 3)."""
    with open_source(location) as source:
        samples = select(source.samples, fraction=None, limit_per_class=images // 2, seed=0)
        decoded = []
        for sample in interleave(samples, 0):
            with contextlib.suppress(Rejected):
                decoded.append(decode(source.read(sample), (side, side), "bilinear"))
    return np.stack(decoded)


def _round(
    arguments: argparse.Namespace, request: BackboneRequest, path: Path, pixels: np.ndarray
) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "engine.extract", arguments.source, "--cache", folder]
        command += ["--backbone", request.backbone, "--weights", request.weights]
        command += ["--limit-per-class", str(arguments.images // 2), "--precision", "fp32"]
        bare = _bare(path, pixels)
        seconds, first = _timed(command)
        second_seconds, second = _timed(command)
    if second["computed"] or first["computed"] != len(pixels):
        raise SystemExit("the runs did not compute what they should")
    # The threads' seconds add up; where they share the cores with decoding they wait in between.
    busy = first["stages"]["infer"] / available_cores()
    return {
        "bare": bare,
        "session": len(pixels) / busy,
        "command": len(pixels) / seconds,
        "second_run_seconds": second_seconds,
    }


def _bare(path: Path, pixels: np.ndarray) -> float:
    """Return images/s of a loop that does nothing else, the session's making not counted."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    session.run(None, {"images": pixels[:BATCH]})
    started = time.perf_counter()
    for start in range(0, len(pixels), BATCH):
        session.run(None, {"images": pixels[start : start + BATCH]})
    return len(pixels) / (time.perf_counter() - started)


def _peak_of_children() -> int | None:
    """Return the most resident bytes that a child had; None on Windows, which does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _timed(command: list[str]) -> tuple[float, dict[str, Any]]:
    started = time.perf_counter()
    finished = subprocess.run([*command, "--json", "--quiet"], capture_output=True, check=True)
    return time.perf_counter() - started, json.loads(finished.stdout)


if __name__ == "__main__":
    main()
