"""Other libraries on what a cache holds: the same features, and the same layer trained on them.

python -m benchmarks.baselines.same_features check|keras|sklearn --cache DIR
"""

import argparse
import hashlib
import sys
import time
from typing import Any

import numpy as np

from benchmarks.inputs.photographs import usable
from benchmarks.measuring.options import numbers, positive
from benchmarks.product import CachedFeatures, cached_features
from cache.commandline.command import Console, command_parser, run_command
from cache.store import FeatureCache, Space
from engine.backbones.options import add_backbone_options, request_from
from engine.precision.parity import cosine_similarities
from engine.runner.survey import dataset_name
from engine.sources.open import open_source

_Side = tuple[np.ndarray, np.ndarray]


def main(argv: list[str] | None = None) -> int:
    """Run one of them; return its exit code."""
    parser = command_parser(
        "python -m benchmarks.baselines.same_features",
        "check: compare a cache's features with those that Keras computes from the same images, "
        "and train Dense(classes, softmax) by Adam in Keras on the cache's. keras, sklearn: only "
        "train such a layer.",
        "python -m benchmarks.baselines.same_features sklearn --cache pets --json",
    )
    parser.add_argument("what", choices=["check", "keras", "sklearn"], help="see above")
    parser.add_argument("--source", metavar="SOURCE", help="check: what the cache was made from")
    parser.add_argument("--cache", required=True, metavar="DIR", help="where the features are")
    add_backbone_options(parser)
    parser.add_argument("--images", type=positive, default=32, metavar="N", help="to compute; 32")
    parser.add_argument("--seeds", type=numbers, default=(0,), metavar="S,S", help="default: 0")
    parser.add_argument("--epochs", type=positive, default=10, metavar="N", help="default: 10")
    parser.add_argument("--batch-size", type=positive, default=128, metavar="N", help="128")
    return run_command(parser, _check if "check" in (argv or sys.argv) else _train, argv)


def _check(arguments: argparse.Namespace, console: Console) -> None:
    from benchmarks.baselines.keras_network import start_keras

    keras = start_keras()
    space = FeatureCache.open(arguments.cache).space()
    features = _features(keras, space, arguments)
    held = cached_features(arguments.cache, dataset_name(arguments.source))
    runs = [_timed(keras, held, arguments, seed) for seed in arguments.seeds]
    lines = [f"{features}", *(f"seed {entry['seed']}: test {entry['test']}" for entry in runs)]
    console.result({"features": features, "runs": runs}, "\n".join(lines))


def _train(arguments: argparse.Namespace, console: Console) -> None:
    held = cached_features(arguments.cache)
    way = _keras if arguments.what == "keras" else _sklearn
    loss, accuracy = way(held.sides(), len(held.classes))
    result = {"test": {"loss": loss, "accuracy": accuracy}}
    console.result(result, f"test loss {loss:.4f}, accuracy {accuracy:.4f}")


def _features(keras: Any, space: Space, arguments: argparse.Namespace) -> dict[str, Any]:
    """Compute the features of some images in Keras; return how far the cache's are from them."""
    from benchmarks.baselines.keras_network import backbone, preprocess_function, read_pixels

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


def _timed(
    keras: Any, held: CachedFeatures, arguments: argparse.Namespace, seed: int
) -> dict[str, Any]:
    """Train the layer in Keras, on the split that `fit_head` makes of the same images."""
    keras.utils.set_random_seed(seed)
    started = time.perf_counter()
    model = dense_model(keras, held.features.shape[1], len(held.classes))
    loss, accuracy = _fitted(
        model, held.sides(seed), len(held.classes),
        epochs=arguments.epochs, batch_size=arguments.batch_size,
    )  # fmt: skip
    seconds = round(time.perf_counter() - started, 3)
    return {"seed": seed, "seconds": seconds, "test": {"loss": loss, "accuracy": accuracy}}


def _fitted(
    model: Any, sides: list[_Side], classes: int, *, epochs: int, batch_size: int
) -> tuple[float, float]:
    """Train a compiled model on the first side, watch the second; return the third's figures."""
    one_hot = np.eye(classes, dtype=np.float32)
    train, watched, tested = ((features, one_hot[labels]) for features, labels in sides)
    model.fit(*train, batch_size=batch_size, epochs=epochs, validation_data=watched, verbose=0)
    loss, accuracy = model.evaluate(*tested, batch_size=batch_size, verbose=0)
    return float(loss), float(accuracy)


def _keras(sides: list[_Side], classes: int) -> tuple[float, float]:
    """As the tutorial does it: Adam, 10 epochs, batches of 128."""
    from benchmarks.baselines.keras_network import start_keras

    keras = start_keras()
    model = dense_model(keras, sides[0][0].shape[1], classes)
    return _fitted(model, sides, classes, epochs=10, batch_size=128)


def _sklearn(sides: list[_Side], classes: int) -> tuple[float, float]:
    """Standardise, and try four strengths on the validation side; test the best of them."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, validation, test = sides
    labels = range(classes)
    best: tuple[float, Any] = (float("inf"), None)
    for strength in (1e-4, 1e-3, 1e-2, 1e-1):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
        model.fit(*train)
        loss = log_loss(validation[1], model.predict_proba(validation[0]), labels=labels)
        best = min(best, (float(loss), model), key=lambda entry: entry[0])
    probabilities = best[1].predict_proba(test[0])
    loss = log_loss(test[1], probabilities, labels=labels)
    return float(loss), float((probabilities.argmax(axis=1) == test[1]).mean())


def dense_model(keras: Any, dimension: int, classes: int) -> Any:
    """Return a compiled softmax layer over features, with Adam."""
    layer = keras.layers.Dense(classes, activation="softmax")
    model = keras.Sequential([keras.layers.Input((dimension,)), layer])
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


if __name__ == "__main__":
    sys.exit(main())
