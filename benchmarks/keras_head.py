"""Keras fitting the same Dense layer on the same cached features, split alike.

python -m benchmarks.keras_head --cache DIR
"""

import sys
import time
from typing import Any

import numpy as np

from benchmarks.options import numbers, positive
from cache.command import Console, command_parser, run_command
from cache.store import FeatureCache
from engine.dataset import SIDES, load_dataset, split


def main(argv: list[str] | None = None) -> int:
    """Run the training; return its exit code."""
    parser = command_parser(
        "python -m benchmarks.keras_head",
        "Train Dense(classes, softmax) by Adam in Keras on the features of a cache.",
        "python -m benchmarks.keras_head --cache pets --json",
    )
    parser.add_argument("--cache", required=True, metavar="DIR", help="where the features are")
    parser.add_argument("--dataset", action="append", metavar="NAME", help="default: all")
    parser.add_argument("--seeds", type=numbers, default=(0,), metavar="S,S", help="default: 0")
    parser.add_argument("--epochs", type=positive, default=10, metavar="N", help="default: 10")
    return run_command(parser, _run, argv)


def _run(arguments: Any, console: Console) -> None:
    from benchmarks.keras_baseline import start_keras

    keras = start_keras()
    space = FeatureCache.open(arguments.cache).space()
    index = space.index()
    dataset = load_dataset(space, index, arguments.dataset)
    features = index.read(dataset.digests)
    one_hot = np.eye(len(dataset.classes), dtype=np.float32)[dataset.labels]
    runs = []
    for seed in arguments.seeds:
        parts = split(dataset.labels, (70, 15, 15), seed)
        train, validation, test = (
            (features[parts.side(side)], one_hot[parts.side(side)]) for side in SIDES
        )
        keras.utils.set_random_seed(seed)
        layer = keras.layers.Dense(len(dataset.classes), activation="softmax")
        model = keras.Sequential([keras.layers.Input((space.dimension,)), layer])
        model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
        started = time.perf_counter()
        model.fit(
            *train,
            batch_size=128,
            epochs=arguments.epochs,
            validation_data=validation,
            verbose=0,
        )
        seconds = time.perf_counter() - started
        loss, accuracy = model.evaluate(*test, batch_size=128, verbose=0)
        runs.append(
            {
                "seed": seed,
                "fit_seconds": round(seconds, 3),
                "test": {"loss": float(loss), "accuracy": float(accuracy)},
            }
        )
    lines = [f"seed {entry['seed']}: test {entry['test']}" for entry in runs]
    console.result({"runs": runs}, "\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
