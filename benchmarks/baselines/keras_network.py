"""The way people do it: Keras, the frozen backbone inside the network that is trained.

The only module that the Keras baselines share; it imports TensorFlow, so none but they import it.
"""

import logging
import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.inputs.photographs import Usable
from engine.backbones.architectures import ARCHITECTURES
from engine.backbones.request import BackboneRequest
from engine.exporters.keras import build_architecture
from engine.exporters.weights import random_weights
from engine.images.decode import decode
from engine.sources.open import Sample


def start_keras(seed: int = 0) -> Any:
    """Import Keras on TensorFlow, on the CPU, and seed it; return the module."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow as tf

    tf.get_logger().setLevel(logging.ERROR)
    keras.utils.set_random_seed(seed)
    return keras


def backbone(keras: Any, request: BackboneRequest) -> Any:
    """Return the Keras network of a request, cut where the request cuts it, with its weights.

    The same random weights as the exporter's, for the same seed.
    """
    if request.is_file:
        model = keras.models.load_model(request.backbone, compile=False, safe_mode=True)
        output = model.get_layer(request.layer).output if request.layer else model.outputs[0]
        return keras.Model(model.inputs[0], _pooled(keras, request, output))
    assert request.layer is not None
    architecture = ARCHITECTURES[request.backbone]
    cut = architecture.cuts[request.layer]
    top: dict[str, Any] = {"include_top": True}
    if not architecture.with_top or cut.any_size:  # what comes before the dense layers
        pooling = None if architecture.with_top else "avg"
        top = {"include_top": False, "pooling": pooling, "input_shape": (*architecture.size, 3)}
    weights = None if request.seed is not None else request.weights
    model = getattr(keras.applications, architecture.keras_name)(weights=weights, **top)
    output = model.get_layer(cut.keras_layer).output if cut.keras_layer else model.output
    model = keras.Model(model.input, _pooled(keras, request, output))
    if request.seed is not None:
        shapes = build_architecture(architecture, request.layer, download=False).layers
        drawn = random_weights(shapes, request.seed)
        weighted = [layer for layer in model.layers if layer.weights]
        for layer, arrays in zip(weighted, drawn, strict=True):
            layer.set_weights(list(arrays))
    return model


def _pooled(keras: Any, request: BackboneRequest, output: Any) -> Any:
    """Return a layer's output as the request pools it."""
    pools = {"avg": "GlobalAveragePooling2D", "max": "GlobalMaxPooling2D"}
    pool = request.geometry.pool
    return output if pool == "none" else getattr(keras.layers, pools[pool])()(output)


def end_to_end_model(keras: Any, request: BackboneRequest, classes: int) -> Any:
    """Return the compiled network: the backbone frozen, a new softmax layer on it, Adam.

    For VGG16 and two classes it has 134,268,738 parameters, of which 8,194 are trained; asserted.
    """
    frozen = backbone(keras, request)
    frozen.trainable = False
    output = frozen.output
    if len(output.shape) > 2:
        output = keras.layers.Flatten()(output)
    outputs = keras.layers.Dense(classes, activation="softmax", name="head")(output)
    model = keras.Model(frozen.input, outputs)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    if (request.backbone, request.layer, classes) == ("vgg16", "fc2", 2):
        trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
        if (model.count_params(), trainable) != (134_268_738, 8_194):
            raise AssertionError(f"{model.count_params()} parameters, {trainable} trained")
    return model


def batches(
    keras: Any,
    images: Usable,
    chosen: np.ndarray,
    size: tuple[int, int],
    preprocess: Any,
    *,
    batch_size: int,
    shuffle: bool,
    seed: int,
) -> Any:
    """Return a Keras data set that reads and decodes the chosen images anew in each epoch.

    Two threads prepare batches ahead, while the network computes. preprocess: of float32 pixels
    (N, height, width, 3), RGB, 0 to 255.
    """
    one_hot = np.eye(len(images.classes), dtype=np.float32)
    rng = np.random.default_rng(seed)

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        """Batches of a part of a split."""

        def __init__(self) -> None:
            super().__init__(workers=2, max_queue_size=4)
            self.order = rng.permutation(chosen) if shuffle else chosen

        def __len__(self) -> int:
            return -(-len(chosen) // batch_size)

        def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
            part = self.order[number * batch_size : (number + 1) * batch_size]
            pixels = read_pixels(images, [images.samples[at] for at in part], size)
            return preprocess(pixels.astype(np.float32)), one_hot[images.labels[part]]

        def on_epoch_end(self) -> None:
            if shuffle:
                self.order = rng.permutation(chosen)

    return Batches()


def read_pixels(images: Usable, samples: Sequence[Sample], size: tuple[int, int]) -> np.ndarray:
    """Return the decoded pixels of samples, uint8 (N, height, width, 3) RGB, as `engine` does."""
    return np.stack([decode(images.source.read(sample), size, "bilinear") for sample in samples])


def step_clock(keras: Any) -> Any:
    """Return a Keras callback whose `ends` are the times at which batches ended, in seconds."""

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]
        """Notes when each batch ends."""

        def __init__(self) -> None:
            super().__init__()
            self.ends: list[float] = []

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            del batch, logs
            self.ends.append(time.perf_counter())

        def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
            del batch, logs
            self.ends.append(time.perf_counter())

    return Clock()


def preprocess_function(keras: Any, mode: str) -> Any:
    """Return Keras' own preprocessing of a mode: caffe, tf or torch; none changes nothing."""
    if mode == "none":
        return lambda pixels: pixels
    # Each network's module has the function in one mode only.
    network = {"caffe": "vgg16", "tf": "mobilenet_v2", "torch": "densenet"}[mode]
    return getattr(keras.applications, network).preprocess_input
