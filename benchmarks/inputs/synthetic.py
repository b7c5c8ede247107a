"""What needs no data: caches of synthetic features of any size, and small random backbones.

python -m benchmarks.inputs.synthetic CACHE ROWS DIMENSION
python -m benchmarks.inputs.synthetic FILE.keras

The backbones take 32 x 32 pixels and give 24 features.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

import numpy as np

from cache.rows import Row
from cache.store import FeatureCache

# How far the classes' means lie apart along a few of the directions, in deviations of the noise.
_DISTANCE = 0.6
_INFORMATIVE = 32

# Bytes of features in a part.
_PART = 2**25

# Filters of the small backbones' two convolutions.
_FILTERS = (16, 24)


def make_cache(path: Path, rows: int, dimension: int) -> None:
    """Make a cache of synthetic features, half of their values zero as behind a ReLU.

    Two classes, whose means differ in some of the directions.
    """
    unfinished = path.with_name(f"{path.name}-unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    description = {"backbone": "synthetic", "layer": "last", "precision": "fp32"}
    space = FeatureCache.create(unfinished).add_space(description, dimension)
    rng = np.random.default_rng(0)
    size = max(1, _PART // (4 * dimension))
    writer = space.write_dataset("synthetic")
    for start in range(0, rows, size):
        count = min(size, rows - start)
        features = rng.standard_normal((count, dimension), np.float32)
        labels = np.arange(start, start + count) % 2
        features[:, :_INFORMATIVE] += np.float32(_DISTANCE) * labels[:, None]
        np.maximum(features, 0, out=features)
        digests = rng.integers(0, 256, (count, 32), np.uint8)
        space.append(digests, features)
        writer.append(
            Row(f"{start + n}.jpg", "ab"[label], digest.tobytes(), "cached")
            for n, (label, digest) in enumerate(zip(labels, digests, strict=True))
        )
    writer.finish()
    unfinished.rename(path)


def make_two_precisions(path: Path) -> FeatureCache:
    """Make a small cache of two clusters, in fp32 and in what stands for int8; return it."""
    rng = np.random.default_rng(0)
    digests = rng.integers(0, 256, (300, 32), np.uint8)
    features = rng.normal(1, 1, (300, 20)).astype(np.float32)
    features[::2, 0] += 4
    cache = FeatureCache.create(path)
    for precision, values in (("fp32", features), ("int8", features + np.float32(0.01))):
        description = {
            "backbone": "drawn", "layer": "last", "precision": precision, "features": 20
        }  # fmt: skip
        space = cache.add_space(description, 20)
        space.append(digests, values)
        dataset = space.write_dataset("drawn")
        dataset.append(
            Row(f"{n}.jpg", "ab"[n % 2], digest.tobytes(), "cached", "")
            for n, digest in enumerate(digests)
        )
        dataset.finish()
    return cache


def write_tiny_keras(path: Path, seed: int = 0) -> None:
    """Write one as a `.keras` file."""
    from benchmarks.baselines.keras_network import start_keras

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
    from benchmarks.inputs.photographs import draw

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
    if len(sys.argv) == 2:
        write_tiny_keras(Path(sys.argv[1]))
    else:
        make_cache(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
