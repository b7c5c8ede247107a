"""The report's other system: a small CNN trained from scratch, without a frozen backbone.

python -m benchmarks.baselines.scratch_cnn [SOURCE]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.inputs.photographs import Usable, draw, usable
from benchmarks.measuring.options import add_source, benchmark_parser, finish, positive
from benchmarks.measuring.record import table
from cache.commandline.command import Console, run_command
from engine.heads.split import SIDES
from engine.sources.open import open_source

# What the report says of its own run: 4,999 images, 10 epochs, its author's machine.
REPORTED = {"images": 4999, "seconds": 12 * 60 + 28.9, "loss": 0.5365, "accuracy": 0.7227}

# The input's height and width. The report's 1,209,058 parameters need 12 x 12 cells behind the
# last pooling, which sizes from 222 to 237 give; VGG16's 224 is one of them.
_SIZE = 224
_PARAMETERS = 1_209_058


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "baselines.scratch_cnn",
        "Train a CNN of four convolutions from scratch in Keras, 10 epochs of Adam, 70/15/15.",
        "PetImages.zip",
    )
    add_source(parser)
    parser.add_argument("--epochs", type=positive, default=10, metavar="N", help="default: 10")
    parser.add_argument("--batch-size", type=positive, default=128, metavar="N", help="128")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="default: 0")
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if arguments.quick:
            arguments.epochs, arguments.batch_size = 1, 16
        location = arguments.source or draw(Path(folder), 40 if arguments.quick else 1000)
        with open_source(location) as source:
            count = 40 if arguments.quick else None
            results = _train(usable(source, count), arguments, console)
    finish(arguments, console, "scratch_cnn", results, summary(results))


def _network(keras: Any, classes: int) -> Any:
    """Return the compiled network; for two classes it has 1,209,058 parameters, asserted."""
    layers = keras.layers
    stack = [layers.Input((_SIZE, _SIZE, 3)), layers.Rescaling(1 / 255)]
    for number in range(1, 5):
        stack += [layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2)]
        stack += [layers.Dropout(0.25)] if number % 2 == 0 else []
    stack += [
        layers.Flatten(),
        layers.Dense(256, activation="relu"),
        layers.Dropout(0.5),
        layers.Dense(classes, activation="softmax"),
    ]
    model = keras.Sequential(stack)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    if classes == 2 and model.count_params() != _PARAMETERS:
        raise AssertionError(f"{model.count_params()} parameters")
    return model


def _train(images: Usable, arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    from benchmarks.baselines.keras_network import batches, start_keras

    keras = start_keras(arguments.seed)
    model = _network(keras, len(images.classes))
    parts = images.split(arguments.seed)
    train, validation, test = (
        batches(
            keras,
            images,
            parts.side(side),
            (_SIZE, _SIZE),
            lambda pixels: pixels,
            batch_size=arguments.batch_size,
            shuffle=side == "train",
            seed=arguments.seed,
        )
        for side in SIDES
    )
    console.say(f"{len(parts.train)} images, {arguments.epochs} epochs")
    started = time.perf_counter()
    history = model.fit(train, validation_data=validation, epochs=arguments.epochs, verbose=0)
    fitted = time.perf_counter()
    loss, accuracy = model.evaluate(test, verbose=0)
    ended = time.perf_counter()
    return {
        "parameters": model.count_params(),
        "input": [_SIZE, _SIZE],
        "images": len(images.samples),
        "epochs": arguments.epochs,
        "split": {side: len(parts.side(side)) for side in SIDES},
        "seconds": round(ended - started, 3),
        "fit_seconds": round(fitted - started, 3),
        "seconds_per_image_and_epoch": (fitted - started)
        / arguments.epochs
        / (len(parts.train) + len(parts.validation)),
        "history": {
            key: [float(value) for value in np.asarray(values)]
            for key, values in history.history.items()
        },
        "test": {"loss": float(loss), "accuracy": float(accuracy)},
        "reported": REPORTED,
    }


def summary(results: dict[str, Any]) -> str:
    """Return the results as text with a Markdown table."""
    test, reported = results["test"], results["reported"]
    height, width = results["input"]
    rows = [
        [
            f"measured here, {results['epochs']} epochs",
            f"{results['images']:,}",
            f"{results['seconds']:,.1f}",
            f"{test['loss']:.4f}",
            f"{test['accuracy']:.4f}",
        ],
        [
            "the report, 10 epochs, its machine",
            f"{reported['images']:,}",
            f"{reported['seconds']:,.1f}",
            f"{reported['loss']:.4f}",
            f"{reported['accuracy']:.4f}",
        ],
    ]
    return (
        f"CNN from scratch: {results['parameters']:,} parameters, input {height} x {width}\n"
        + table(["run", "images", "seconds", "test loss", "test accuracy"], rows)
    )


if __name__ == "__main__":
    sys.exit(main())
