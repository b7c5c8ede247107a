"""Odd Keras files: what people bring, small, seeded, and what becomes of each."""

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from odd_model import OddModel

SIDES = (12, 16)


def saved(make: Callable[[Any], Any], name: str = "net.keras") -> Callable[[Path], Any]:
    """Write the model that `make` gives for the module Keras, or the first of two.

    The second is the part of it whose features are wanted.
    """

    def write(folder: Path) -> Any:
        from engine.exporters.keras import import_keras

        keras = import_keras()
        keras.utils.set_random_seed(0)
        made = make(keras)
        model, part = made if isinstance(made, tuple) else (made, made)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that one is not built, and of the form .h5
            model.save(folder / name)
        return folder / name, lambda pixels: part.predict(pixels.astype(np.float32), verbose=0)

    return write


def chain(*make: Callable[[Any], Any], sides: Any = SIDES) -> Callable[[Path], Any]:
    """Write a Sequential of layers, each made of `keras.layers`."""
    return saved(
        lambda keras: keras.Sequential(
            [keras.layers.Input((*sides, 3)), *(each(keras.layers) for each in make)]
        )
    )


def conv(layers: Any) -> Any:
    return layers.Conv2D(5, 3, activation="relu", name="conv")


def average(layers: Any) -> Any:
    return layers.GlobalAveragePooling2D(name="average")


def nested(keras: Any) -> Any:
    layers = keras.layers
    inner = keras.Sequential(
        [layers.Input((*SIDES, 3)), conv(layers), average(layers)], name="inner"
    )
    image = layers.Input((*SIDES, 3))
    outer = keras.Model(image, layers.Dense(2)(inner(layers.Rescaling(1 / 255)(image))))
    scaled = layers.Rescaling(1 / 255)(image)
    early = keras.Model(inner.inputs, inner.get_layer("conv").output)
    return outer, keras.Model(image, early(scaled))


def normalised(layers: Any) -> Any:
    layer = layers.Normalization()
    layer.adapt(np.random.default_rng(0).uniform(0, 255, (20, *SIDES, 3)).astype(np.float32))
    return layer


def classifier(keras: Any) -> Any:
    layers = keras.layers
    made = [layers.Input((*SIDES, 3)), conv(layers), average(layers), layers.Dropout(0.5)]
    model = keras.Sequential([*made, layers.Dense(4, activation="softmax", name="classes")])
    return model, keras.Model(model.inputs[0], model.get_layer("average").output)


def whole_classifier(keras: Any) -> Any:
    return classifier(keras)[0]


def attention(keras: Any) -> Any:
    """Patches as tokens through Keras' own attention."""
    layers = keras.layers
    image = layers.Input((*SIDES, 3))
    patches = layers.Conv2D(12, 4, strides=4)(layers.Rescaling(1 / 255)(image))
    tokens = layers.Reshape((12, 12))(patches)
    mixed = layers.MultiHeadAttention(2, 6)(*[layers.LayerNormalization()(tokens)] * 2)
    tokens = layers.Add()([tokens, mixed])
    tokens = layers.Dense(12, activation="gelu")(layers.LayerNormalization()(tokens))
    model = keras.Model(image, tokens)
    return model, keras.Model(image, layers.GlobalAveragePooling1D()(tokens))


def own_layer(keras: Any) -> Any:
    @keras.saving.register_keras_serializable(package="mine")
    class Own(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x

    layers = keras.layers
    return keras.Sequential([layers.Input((*SIDES, 3)), Own(name="mine"), average(layers)])


def own_function(keras: Any) -> Any:
    def twice(x: Any) -> Any:
        return 2 * x

    layers = keras.layers
    scaled = layers.Conv2D(5, 3, activation=twice)
    return keras.Sequential([layers.Input((*SIDES, 3)), scaled, average(layers)])


def half(keras: Any) -> Any:
    layers = keras.layers
    half_conv = layers.Conv2D(5, 3, dtype="mixed_float16")
    return keras.Sequential([layers.Input((*SIDES, 3)), half_conv, average(layers)])


def trained(keras: Any) -> Any:
    """Compiled, and so is a model inside it: the file says optimizers, metrics and a loss."""
    layers = keras.layers
    inner = keras.Sequential([layers.Input((*SIDES, 3)), conv(layers)])
    inner.compile("adam", "mse", metrics=["mae"])
    model = keras.Sequential([layers.Input((*SIDES, 3)), inner, average(layers)])
    rate = keras.optimizers.schedules.CosineDecay(0.01, 10)
    model.compile(
        keras.optimizers.AdamW(rate),
        lambda wanted, got: keras.ops.mean(wanted - got),
        metrics=["mae"],
    )
    model.fit(np.zeros((2, *SIDES, 3)), np.zeros((2, 5)), verbose=0)
    return model


def preprocessed(keras: Any) -> Any:
    """VGG's preprocessing as tutorials write it: operations that hold a tensor."""
    layers = keras.layers
    image = layers.Input((*SIDES, 3))
    scaled = keras.applications.vgg16.preprocess_input(image)
    return keras.Model(image, average(layers)(conv(layers)(scaled)))


def of_keras_2(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "net.keras", "w") as archive:
        archive.writestr("config.json", '{"module": "keras", "class_name": "Model", "config": {}}')
        archive.writestr("metadata.json", '{"keras_version": "2.15.0"}')
    return folder / "net.keras"


def unbuilt(keras: Any) -> Any:
    return keras.Sequential([conv(keras.layers), average(keras.layers)])


def two_inputs(keras: Any) -> Any:
    layers = keras.layers
    images = [layers.Input((*SIDES, 3)), layers.Input((*SIDES, 3))]
    return keras.Model(images, average(layers)(conv(layers)(layers.Add()(images))))


def two_outputs(keras: Any) -> Any:
    layers = keras.layers
    image = layers.Input((*SIDES, 3))
    features = conv(layers)(image)
    model = keras.Model(image, [average(layers)(features), features])
    return model, keras.Model(image, model.outputs[0])


def both_outputs(keras: Any) -> Any:
    return two_outputs(keras)[0]


def grey(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential([layers.Input((*SIDES, 1)), conv(layers), average(layers)])


def augmented(layers: Any) -> Any:
    return layers.RandomFlip("horizontal")


def saved_model(folder: Path) -> Path:
    (folder / "net").mkdir()
    (folder / "net" / "saved_model.pb").touch()
    return folder / "net"


ODD_KERAS = (
    OddModel("nested", "a layer of a network inside the network", saved(nested), layer="conv"),
    OddModel("Rescaling inside", "its preprocessing is a layer",
             chain(lambda layers: layers.Rescaling(1 / 127.5, -1), conv, average)),
    OddModel("Normalization inside", "adapted to means and variances",
             chain(normalised, conv, average)),
    OddModel("preprocess_input inside", "Keras' own, of VGG", saved(preprocessed)),
    OddModel("trained", "optimizer, metrics and a loss of one's own in the file", saved(trained)),
    OddModel("augmentation inside", "RandomFlip and Dropout, which do nothing once trained",
             chain(augmented, conv, average, lambda layers: layers.Dropout(0.5))),
    OddModel("depthwise and swish", "as EfficientNet has them", chain(
        lambda layers: layers.SeparableConv2D(6, 3, activation="swish"),
        lambda layers: layers.BatchNormalization(), average)),
    OddModel("grouped convolution", "as ResNeXt has it", chain(
        lambda layers: layers.Conv2D(6, 1), lambda layers: layers.Conv2D(6, 3, groups=2), average)),
    OddModel("ends in a softmax", "probabilities are taken, and what lies before is named",
             saved(whole_classifier),
             remark="classes, which gives 4 probabilities; layer average would give the 5 values"),
    OddModel("before the softmax", "the same at that layer", saved(classifier), layer="average"),
    OddModel("a map", "flattened in (height, width, channel) order", chain(conv)),
    OddModel("a map, maximum", "the same, its maximum over positions",
             saved(lambda keras: (
                 model := keras.Sequential([keras.layers.Input((*SIDES, 3)), conv(keras.layers)]),
                 keras.Sequential([model, keras.layers.GlobalMaxPooling2D()]))),
             pool="max"),
    OddModel("tokens", "Keras' MultiHeadAttention, averaged", saved(attention), pool="avg"),
    OddModel("open sizes", "Input((None, None, 3))", chain(conv, average, sides=(None, None)),
             size=SIDES),
    OddModel("open sizes, none given", "the same without a size",
             chain(conv, average, sides=(None, None)),
             said="does not say the size of its images; give one, as size 224"),
    OddModel("another size", "a network of 12 x 16 pixels, asked for 32 x 32", chain(conv, average),
             size=(32, 32), said="takes images of 12 x 16 pixels alone; leave the size out"),
    OddModel("Lambda", "a function of Python's in the file",
             chain(lambda layers: layers.Lambda(lambda x: x / 2, name="half"), average),
             said="of type Lambda, which runs code from the file; build the network from Keras'"),
    OddModel("a layer of one's own", "a class that only its maker has", saved(own_layer),
             said="a part 'mine' of type mine>Own, which is not Keras' own; build the network"),
    OddModel("a function of one's own", "an activation that only its maker has",
             saved(own_function), said="a part 'twice', a function that is not Keras' own; build"),
    OddModel("mixed_float16", "computes in half precision", saved(half),
             said="computes in mixed_float16; save it in float32"),
    OddModel("float64", "computes in double precision",
             chain(lambda layers: layers.Conv2D(5, 3, dtype="float64"), average),
             said="computes in float64; save it in float32"),
    OddModel("saved by Keras 2", "a .keras file of 2023", of_keras_2,
             said="was saved by Keras 2, which Keras 3 does not read; save it there as a folder"),
    OddModel("unbuilt Sequential", "saved before it saw an input", saved(unbuilt),
             said="does not say what it takes; build it before it is saved: model.build("),
    OddModel("no such layer", "cut at a layer that it has not", chain(conv, average), layer="fc7",
             said="has no layer 'fc7'; its last ones: ['conv', 'average']"),
    OddModel("two inputs", "takes two images", saved(two_inputs),
             said="a backbone takes RGB images alone"),
    OddModel("two outputs", "gives a vector and a map", saved(both_outputs),
             said="has 2 outputs; choose one as layer: average or conv"),
    OddModel("one of two outputs", "the same, one chosen", saved(two_outputs), layer="average"),
    OddModel("grey images", "takes one channel", saved(grey),
             said="a backbone takes RGB images alone"),
    OddModel(".h5", "Keras' older form of file", saved(whole_classifier, "net.h5"),
             said="a network in .h5 may hold code; make a .keras file of one that you trust"),
    OddModel("SavedModel", "TensorFlow's folder", saved_model,
             said="a SavedModel holds a program; make an ONNX file of it: python -m tf2onnx"),
)  # fmt: skip
