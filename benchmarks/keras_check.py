"""Keras on what a cache holds: does it compute the same features, and learn the same from them.

python -m benchmarks.keras_check SOURCE --cache DIR
"""

import argparse
import hashlib
import sys
import time
from typing import Any

import numpy as np

from benchmarks.options import numbers, positive
from benchmarks.photographs import usable
from cache.commandline.command import Console, command_parser, run_command
from cache.store import FeatureCache, Space
from engine.backbones.request import add_backbone_options, request_from
from engine.heads.open_features import open_features
from engine.heads.split import SIDES, SplitOptions, split
from engine.precision.parity import cosine_similarities
from engine.runner.survey import dataset_name
from engine.sources.open import open_source


def main(argv: list[str] | None = None) -> int:
    """Run the check; return its exit code."""
    parser = command_parser(
        "python -m benchmarks.keras_check",
        "Compare a cache's features with those that Keras computes from the same images, and "
        "train Dense(classes, softmax) by Adam in Keras on the cache's.",
        "python -m benchmarks.keras_check PetImages.zip --cache pets --weights random:0 --json",
    )
    parser.add_argument("source", metavar="SOURCE", help="what the cache was extracted from")
    parser.add_argument("--cache", required=True, metavar="DIR", help="where the features are")
    add_backbone_options(parser)
    parser.add_argument("--images", type=positive, default=32, metavar="N", help="to compute; 32")
    parser.add_argument("--seeds", type=numbers, default=(0,), metavar="S,S", help="default: 0")
    parser.add_argument("--epochs", type=positive, default=10, metavar="N", help="default: 10")
    parser.add_argument("--batch-size", type=positive, default=128, metavar="N", help="128")
    return run_command(parser, _check, argv)


def _check(arguments: argparse.Namespace, console: Console) -> None:
    from benchmarks.keras_baseline import start_keras

    keras = start_keras()
    space = FeatureCache.open(arguments.cache).space()
    features = _features(keras, space, arguments)
    runs = [_train(keras, space, arguments, seed) for seed in arguments.seeds]
    lines = [f"{features}", *(f"seed {entry['seed']}: test {entry['test']}" for entry in runs)]
    console.result({"features": features, "runs": runs}, "\n".join(lines))


def _features(keras: Any, space: Space, arguments: argparse.Namespace) -> dict[str, Any]:
    """Compute the features of some images in Keras; return how far the cache's are from them."""
    from benchmarks.keras_baseline import backbone, preprocess_function, read_pixels

    request = request_from(arguments)
    model = backbone(keras, request)
    with open_source(arguments.source) as source:
        images = usable(source, 2 * arguments.images)
        data = [source.read(sample) for sample in images.samples]
        digests = np.frombuffer(
            b"".join(hashlib.sha256(entry).digest() for entry in data), np.uint8
        ).reshape(-1, 32)
        index = space.index()
        there = np.flatnonzero(index.contains(digests))[: arguments.images]
        chosen = [images.samples[number] for number in there]
        pixels = read_pixels(images, chosen, model.inputs[0].shape[1:3])
    kept = index.read(digests[there])
    preprocess = preprocess_function(keras, request.preprocessing or "none")
    computed = model.predict(preprocess(pixels.astype(np.float32)), batch_size=8, verbose=0)
    computed = computed.reshape(len(computed), -1)
    return {
        "images": len(kept),
        "largest_difference": float(np.abs(kept - computed).max()),
        "largest_feature": float(np.abs(computed).max()),
        "least_cosine": float(cosine_similarities(kept, computed).min()),
    }


def _train(keras: Any, space: Space, arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Train the layer in Keras, on the split that `fit_head` makes of the same images."""
    features = open_features(space, [dataset_name(arguments.source)]).labelled()
    one_hot = np.eye(len(features.classes), dtype=np.float32)[features.y]
    parts = split(features.y, SplitOptions(seed=seed))
    train, validation, test = (
        (features.X[parts.side(side)], one_hot[parts.side(side)]) for side in SIDES
    )
    keras.utils.set_random_seed(seed)
    started = time.perf_counter()
    model = dense_model(keras, space.dimension, len(features.classes))
    model.fit(
        *train,
        batch_size=arguments.batch_size,
        epochs=arguments.epochs,
        validation_data=validation,
        verbose=0,
    )
    seconds = time.perf_counter() - started
    loss, accuracy = model.evaluate(*test, batch_size=arguments.batch_size, verbose=0)
    return {
        "seed": seed,
        "fit_seconds": round(seconds, 3),
        "test": {"loss": float(loss), "accuracy": float(accuracy)},
    }


def dense_model(keras: Any, dimension: int, classes: int) -> Any:
    """Return a compiled softmax layer over features, with Adam."""
    layer = keras.layers.Dense(classes, activation="softmax")
    model = keras.Sequential([keras.layers.Input((dimension,)), layer])
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


if __name__ == "__main__":
    sys.exit(main())
