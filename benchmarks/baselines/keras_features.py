"""Keras' own features of a named network with random weights, of a few made images.

python -m benchmarks.baselines.keras_features mobilenet_v2 --out features.npy
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.baselines.keras_network import preprocess_function, start_keras
from cache.commandline.command import Console, command_parser, run_command
from engine.backbones.architectures import ARCHITECTURES
from engine.exporters.keras import network_of
from engine.exporters.weights import random_weights

SEED = 0

# Kernels of these as random:0 draws them make each block larger than the last, so that Keras' own
# features move by a thousandth, or anywhere, where pixels move by a millionth. Damped, they do not.
_GAINS = (("efficientnet_v2_l", 0.7), ("efficientnet_v2_", 0.8), ("efficientnet_b7", 0.8))

_IMAGES = 2


def main(argv: list[str] | None = None) -> int:
    """Write the features of one network; return an exit code."""
    parser = command_parser(
        "python -m benchmarks.baselines.keras_features",
        "Write Keras' own features of a named network at its default cut to a .npy file.",
        "python -m benchmarks.baselines.keras_features mobilenet_v2 --out features.npy",
    )
    parser.add_argument("backbone", choices=sorted(ARCHITECTURES), metavar="NAME")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.npy")
    parser.add_argument(
        "--weights-out", type=Path, metavar="FILE.weights.h5", help="write the weights here too"
    )

    def write(arguments: Any, console: Console) -> None:
        features = keras_features(arguments.backbone, arguments.weights_out)
        np.save(arguments.out, features)
        console.result(list(features.shape), f"{arguments.out} is written")

    return run_command(parser, write, argv)


def made_pixels(size: tuple[int, int]) -> np.ndarray:
    """Return the images that are compared: noise, uint8 (N, *size, 3)."""
    return np.random.default_rng(SEED).integers(0, 256, (_IMAGES, *size, 3), np.uint8)


def is_damped(name: str) -> bool:
    """Tell whether a network's weights are those of a file, and not just `random:SEED`."""
    return _gain(name) != 1


def _gain(name: str) -> float:
    return next((gain for start, gain in _GAINS if name.startswith(start)), 1.0)


def keras_features(name: str, weights_out: Path | None = None) -> np.ndarray:
    """Return the features of `made_pixels` at the default cut, float32 (N, D).

    weights_out: where to write the weights as Keras does; None for nowhere.

    Built by the constructor of `keras.applications` and predicted by Keras, weight by weight as
    the exporter draws them.
    """
    keras = start_keras()
    architecture = ARCHITECTURES[name]
    _, cut = architecture.cut(None)
    top: dict[str, Any] = {"include_top": True}
    if cut.any_size:
        top = {"include_top": False, "pooling": "avg", "input_shape": (*architecture.size, 3)}
    network = getattr(keras.applications, architecture.keras_name)(weights=None, **top)
    if cut.keras_layer:
        network = keras.Model(network.input, network.get_layer(cut.keras_layer).output)
    shapes = network_of(network, "", "", with_weights=False).layers
    weighted = [layer for layer in network.layers if layer.weights]
    for layer, wanted in zip(weighted, shapes, strict=True):
        (arrays,) = random_weights([wanted], SEED)
        gain = np.float32(_gain(name))
        layer.set_weights([gain * array if array.ndim > 1 else array for array in arrays])
    if weights_out is not None:
        network.save_weights(weights_out)
    preprocess = preprocess_function(keras, architecture.preprocessing)
    images = preprocess(made_pixels(architecture.size).astype(np.float32))
    return np.asarray(network.predict(images, verbose=0))


if __name__ == "__main__":
    sys.exit(main())
