"""One runtime and one batch size: images a second through a backbone, in a process of its own.

python -m benchmarks.baselines.runtimes NAME
"""

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from benchmarks.measuring.options import positive
from cache.commandline.command import Console, command_parser, run_command
from cache.failures import Failure
from engine.backbones.backbone import Backbone
from engine.backbones.model import read_description
from engine.backbones.options import add_backbone_options, request_from
from engine.graphs.session import available_cores

# Runs that are timed at least, however long one takes.
_LEAST_RUNS = 2

Forward = Callable[[np.ndarray], Any]


def main(argv: list[str] | None = None) -> int:
    """Run the measurement; return its exit code."""
    parser = command_parser(
        "python -m benchmarks.baselines.runtimes",
        "Time one runtime at one batch size on random pixels.",
        "python -m benchmarks.baselines.runtimes onnxruntime --model vgg16/model.onnx --batch 8",
    )
    parser.add_argument("runtime", choices=sorted(_RUNTIMES), help="which")
    parser.add_argument(
        "--model", metavar="FILE.onnx", help="an exported backbone, model.json beside it"
    )
    add_backbone_options(parser)
    parser.add_argument("--batch", type=positive, default=8, metavar="N", help="default: 8")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S", help="about; 5")
    return run_command(parser, _time, argv)


def _time(arguments: argparse.Namespace, console: Console) -> None:
    started = time.perf_counter()
    try:
        forward, size, at_once = _RUNTIMES[arguments.runtime](arguments)
    except ImportError as error:
        raise Failure(f"{arguments.runtime} needs {error.name}, which is not installed") from error
    loaded = time.perf_counter() - started
    batch = arguments.batch * at_once
    pixels = np.random.default_rng(0).integers(0, 256, (batch, *size, 3), np.uint8)
    forward(pixels)
    runs: list[float] = []
    end = time.perf_counter() + arguments.seconds
    while len(runs) < _LEAST_RUNS or time.perf_counter() < end:
        begun = time.perf_counter()
        forward(pixels)
        runs.append(time.perf_counter() - begun)
    result = {
        "runtime": arguments.runtime,
        "batch": arguments.batch,
        "load_seconds": round(loaded, 3),
        "run_seconds": [round(second, 5) for second in runs],
        "images_per_second": batch * len(runs) / sum(runs),
    }
    console.result(result, f"{result['images_per_second']:.2f} images/s")


def _onnxruntime(arguments: argparse.Namespace) -> tuple[Forward, tuple[int, int], int]:
    """One session, each run on all cores."""
    import onnxruntime

    model = Path(arguments.model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(["features"], {"images": pixels}), _size(model), 1


def _engine(arguments: argparse.Namespace) -> tuple[Forward, tuple[int, int], int]:
    """As this product runs it: a run for each core at once, each on one thread."""
    model = Path(arguments.model)
    backbone = Backbone(read_description(model.parent / "model.json", model))
    cores = available_cores()
    pool = ThreadPoolExecutor(cores)
    # Several short runs for each core, so that none waits long for the last of another.
    turns = cores * max(1, 16 // arguments.batch)

    def forward(pixels: np.ndarray) -> list[np.ndarray]:
        return list(pool.map(backbone.features, np.split(pixels, turns)))

    return forward, _size(model), turns


def _keras(arguments: argparse.Namespace) -> tuple[Forward, tuple[int, int], int]:
    from benchmarks.baselines.keras_network import backbone, preprocess_function, start_keras

    keras = start_keras()
    request = request_from(arguments)
    model = backbone(keras, request)
    preprocess = preprocess_function(keras, request.preprocessing or "none")

    def forward(pixels: np.ndarray) -> Any:
        floats = preprocess(pixels.astype(np.float32))
        return model.predict(floats, batch_size=len(pixels), verbose=0)

    return forward, model.inputs[0].shape[1:3], 1


def _openvino(precision: str) -> Callable[[argparse.Namespace], Any]:
    def load(arguments: argparse.Namespace) -> tuple[Forward, tuple[int, int], int]:
        openvino = importlib.import_module("openvino")
        model = Path(arguments.model)
        hint = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        compiled = openvino.Core().compile_model(str(model), "CPU", hint)
        request = compiled.create_infer_request()
        return lambda pixels: request.infer({"images": pixels}), _size(model), 1

    return load


def _torch(arguments: argparse.Namespace) -> tuple[Forward, tuple[int, int], int]:
    """The same architecture of torchvision, random weights; without the preprocessing."""
    torch = importlib.import_module("torch")
    models = importlib.import_module("torchvision.models")
    if arguments.backbone != "vgg16":
        raise Failure("torch is measured with vgg16 only")
    network = models.vgg16(weights=None).eval()
    # Up to the second of the three dense layers and its ReLU: fc2.
    network.classifier = network.classifier[:5]
    torch.set_num_threads(available_cores())

    def forward(pixels: np.ndarray) -> Any:
        with torch.inference_mode():
            return network(torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32)))

    return forward, (224, 224), 1


def _size(model: Path) -> tuple[int, int]:
    description = read_description(model.parent / "model.json", model).description
    return description.height, description.width


_RUNTIMES: Mapping[str, Callable[[argparse.Namespace], Any]] = MappingProxyType(
    {
        "keras": _keras,
        "onnxruntime": _onnxruntime,
        "engine": _engine,
        "openvino-f32": _openvino("f32"),
        "openvino-bf16": _openvino("bf16"),
        "torch": _torch,
    }
)


if __name__ == "__main__":
    sys.exit(main())
