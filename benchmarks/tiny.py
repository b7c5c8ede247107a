"""The small backbones of the quick runs, with random weights: 32 x 32 pixels in, 24 features out.

python -m benchmarks.tiny FILE.keras
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np

_FILTERS = (16, 24)


def write_tiny_keras(path: Path, seed: int = 0) -> None:
    """Write one as a `.keras` file."""
    from benchmarks.keras_baseline import start_keras

    keras = start_keras(seed)
    layers = keras.layers
    convolutions = (
        layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")
        for filters in _FILTERS
    )
    stack = [layers.Input((32, 32, 3)), *convolutions, layers.GlobalAveragePooling2D()]
    keras.Sequential(stack).save(path)


def make_tiny_job(arguments: argparse.Namespace, folder: Path) -> None:
    """Set a quick run's SOURCE and backbone: drawn pictures, and a network without TensorFlow."""
    from benchmarks.photographs import draw

    os.environ["ONCEOVER_MODELS"] = str(folder / "models")
    write_tiny_onnx(folder / "tiny.onnx")
    arguments.backbone, arguments.preprocessing = str(folder / "tiny.onnx"), "caffe"
    arguments.weights = arguments.layer = None
    arguments.source = str(draw(folder / "drawn", 60, (48, 64)))


def write_tiny_onnx(path: Path, seed: int = 0) -> None:
    """Write one as a foreign ONNX file, without TensorFlow."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(seed)
    nodes, kernels, source, channels = [], [], "image", 3
    for number, filters in enumerate(_FILTERS):
        shape = (filters, channels, 3, 3)
        kernel = rng.standard_normal(shape) * np.sqrt(2 / (9 * channels))
        kernels.append(numpy_helper.from_array(kernel.astype(np.float32), f"kernel_{number}"))
        convolved = f"convolved_{number}"
        nodes += [
            helper.make_node(
                "Conv", [source, f"kernel_{number}"], [convolved], strides=[2, 2], pads=[1] * 4
            ),
            helper.make_node("Relu", [convolved], [f"rectified_{number}"]),
        ]
        source, channels = f"rectified_{number}", filters
    nodes += [
        helper.make_node("GlobalAveragePool", [source], ["averaged"]),
        helper.make_node("Flatten", ["averaged"], ["pooled"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 32, 32])],
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["N", channels])],
        kernels,
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)


if __name__ == "__main__":
    write_tiny_keras(Path(sys.argv[1]))
