"""Keras networks, traced to ONNX graphs without their weights.

The only module of the engine that imports TensorFlow, and only `engine.export` imports this one.
"""

import contextlib
import logging
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cache.failures import Failure, first_line
from engine.backbones.architectures import Architecture
from engine.exporters.keras_progress import KerasOutput
from engine.exporters.keras_tracing import (
    hold_tensors_of,
    say_output_sizes,
    without_xla,
    write_in_tensors,
    write_out_erfc,
)
from engine.exporters.network import Graph, graph_of
from engine.exporters.weights import Arrays, LayerShapes
from engine.process.progress import Progress, no_progress

# What tf2onnx 1.17 supports best and ONNX Runtime runs everywhere.
OPSET = 17


@dataclass(frozen=True)
class Network:
    """A Keras network cut at a layer.

    model: the Keras model; its variables hold no values unless it came with some.
    layers: the layers that have weights, up to the cut.
    weights: the network's own values in the layers' order, where it came with some.
    size: (height, width) of the input, RGB.
    structure: digest that tells this network from others with the same weights; none for those
        that go by a name.
    output_layer: name of the layer that it is cut at.
    """

    model: Any
    layers: tuple[LayerShapes, ...]
    weights: list[Arrays] | None
    size: tuple[int, int]
    structure: str
    output_layer: str


def build_architecture(
    architecture: Architecture,
    layer: str,
    *,
    download: bool,
    size: tuple[int, int] | None = None,
    progress: Progress = no_progress,
) -> Network:
    """Return a network of `keras.applications` cut at `layer`.

    size: (height, width) of its images; None for its own.

    download: whether Keras shall fetch its ImageNet weights; otherwise the result has none.
    progress: of that, in megabytes.

    Raises:
        Failure: the weights could not be downloaded.
    """
    keras = import_keras()
    build = getattr(keras.applications, architecture.keras_name)
    cut = architecture.cuts[layer]
    # Without its fully connected layers a network takes any size, and downloads less.
    top: dict[str, Any] = {"include_top": not cut.any_size}
    if cut.any_size:
        top |= {"pooling": "avg", "input_shape": (*(size or architecture.size), 3)}
    # Without a download the variables stay empty: filling VGG16's at random takes seconds.
    empty = (
        contextlib.nullcontext() if download else keras.StatelessScope(initialize_variables=False)
    )
    try:
        # Keras prints the progress of its download on stdout, which is the result's.
        with empty, contextlib.redirect_stdout(KerasOutput(progress)):
            model = build(weights="imagenet" if download else None, **top)
            output = model.get_layer(cut.keras_layer).output if cut.keras_layer else model.output
            model = keras.Model(model.input, output)
    except Exception as error:  # Keras raises a bare Exception where a download fails
        if not download:
            raise
        raise Failure(
            f"Keras could not download the ImageNet weights of {architecture.name} "
            f"({first_line(error)}); give a file of them as weights, or try "
            "the machinery with weights random:SEED"
        ) from error
    network = network_of(model, "", layer, with_weights=download)
    parameters = sum(math.prod(shape) for entry in network.layers for shape in entry.shapes)
    if parameters != cut.parameters:
        raise AssertionError(f"{architecture.name} to {layer}: {parameters} parameters")
    return network


def import_keras() -> Any:
    """Import Keras on TensorFlow, on the CPU, without the log lines of its start.

    Raises:
        Failure: it runs on another backend already.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with _silent_stderr():
        import keras
        import tensorflow as tf

        tf.constant(0)  # the runtime says its last words when it is first used
    if keras.backend.backend() != "tensorflow":
        raise Failure("Keras is already running on another backend than TensorFlow")
    # A user's keras.json may say otherwise.
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    tf.get_logger().setLevel(logging.ERROR)
    return keras


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Send file descriptor 2 nowhere: TensorFlow's C++ start-up lines obey no logging level."""
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def network_of(
    model: Any,
    structure: str,
    layer: str,
    *,
    with_weights: bool,
    size: tuple[int, int] | None = None,
) -> Network:
    """Return a Keras model that ends at `layer` as a network, with its own weights or none.

    size: (height, width) of the images; None for what the model says.
    """
    weighted = [layer for layer in model.layers if layer.weights]
    height, width = size or model.inputs[0].shape[1:3]
    return Network(
        model=model,
        layers=tuple(
            LayerShapes(
                layer.name,
                _snake_case(type(layer).__name__),
                tuple(tuple(weight.shape) for weight in layer.weights),
                tuple(weight.name for weight in layer.weights),
            )
            for layer in weighted
        ),
        weights=[tuple(layer.get_weights()) for layer in weighted] if with_weights else None,
        size=(height, width),
        structure=structure,
        output_layer=layer,
    )


def trace(network: Network, weights: Sequence[Arrays]) -> Graph:
    """Convert a network to an ONNX graph with weights as inputs beside its images.

    Converting a network with its weights as constants copies them at each optimizer pass (above
    23 GB for VGG16). Batch normalisation is small, and as constants it lets tf2onnx move the
    transposes out of its way.

    Raises:
        Failure: the network has something that ONNX cannot express.
    """
    import tensorflow as tf
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    model = network.model
    weighted = [layer for layer in model.layers if layer.weights]
    values = {
        id(variable): array
        for layer, arrays in zip(weighted, weights, strict=True)
        for variable, array in zip(layer.weights, arrays, strict=True)
    }
    trainable, frozen = model.trainable_variables, model.non_trainable_variables
    variables = [*trainable, *frozen]
    # Dropout and augmentation have states of random generators, which are no weights.
    values |= {id(v): np.asarray(v) for v in variables if id(v) not in values}
    hold_tensors_of(model, values)
    arguments = [
        weight
        for layer in weighted
        if any(len(weight.shape) > 1 for weight in layer.weights)
        for weight in layer.weights
    ]
    names = {id(weight): f"weight_{i}" for i, weight in enumerate(arguments)}
    signature = [tf.TensorSpec((None, *network.size, 3), tf.float32, name="images")]
    signature += [tf.TensorSpec(w.shape, tf.float32, name=names[id(w)]) for w in arguments]

    def features(images: Any, *tensors: Any) -> Any:
        given = dict(zip(names, tensors, strict=True))
        state = [given[id(v)] if id(v) in given else tf.constant(values[id(v)]) for v in variables]
        outputs, _ = model.stateless_call(
            state[: len(trainable)], state[len(trainable) :], images, training=False
        )
        return outputs

    function = tf.function(features, input_signature=signature)
    # An outer scope, because the end of a scope fills variables that are still empty.
    stateless = import_keras().StatelessScope(initialize_variables=False)
    with _silent_stderr(), without_xla(), stateless:
        try:
            model_proto, _ = tf2onnx.convert.from_function(
                function, input_signature=signature, opset=OPSET, inputs_as_nchw=["images"]
            )
        except Exception as error:  # Keras, TensorFlow and tf2onnx each have their own
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
            raise Failure(f"{model.name} cannot be converted to ONNX: {reason}") from error
    write_in_tensors(model_proto, function)
    write_out_erfc(model_proto)
    say_output_sizes(model_proto, lambda: model.compute_output_shape((None, *network.size, 3)))
    given_weights = {names[id(weight)]: values[id(weight)] for weight in arguments}
    return graph_of(model_proto, given_weights, None)


def _snake_case(name: str) -> str:
    """Return a class name as Keras writes it in weight files: DepthwiseConv2D, depthwise_conv2d."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
