"""The same layer on the same cached features and split, by another library.

python -m benchmarks.head_peers keras|sklearn --cache DIR
"""

import argparse
import sys
from typing import Any

import numpy as np

from cache.commandline.command import Console, command_parser, run_command
from cache.store import FeatureCache
from engine.heads.open_features import open_features
from engine.heads.split import SIDES, split

_Side = tuple[np.ndarray, np.ndarray]


def main(argv: list[str] | None = None) -> int:
    """Run the training; return its exit code."""
    parser = command_parser(
        "python -m benchmarks.head_peers",
        "Train a softmax layer on cached features in Keras or scikit-learn.",
        "python -m benchmarks.head_peers sklearn --cache pets --json",
    )
    parser.add_argument("library", choices=["keras", "sklearn"], help="which")
    parser.add_argument("--cache", required=True, metavar="DIR", help="where the features are")
    return run_command(parser, _train, argv)


def _train(arguments: argparse.Namespace, console: Console) -> None:
    features = open_features(FeatureCache.open(arguments.cache).space()).labelled()
    parts = split(features.y)
    train, validation, test = (
        (features.X[parts.side(side)], features.y[parts.side(side)]) for side in SIDES
    )
    way = _keras if arguments.library == "keras" else _sklearn
    loss, accuracy = way(train, validation, test, len(features.classes))
    result = {"test": {"loss": loss, "accuracy": accuracy}}
    console.result(result, f"test loss {loss:.4f}, accuracy {accuracy:.4f}")


def _keras(train: _Side, validation: _Side, test: _Side, classes: int) -> tuple[float, float]:
    """As the tutorial does it: Adam, 10 epochs, batches of 128."""
    from benchmarks.keras_baseline import start_keras
    from benchmarks.keras_check import dense_model

    keras = start_keras()
    one_hot = np.eye(classes, dtype=np.float32)
    model = dense_model(keras, train[0].shape[1], classes)
    fitted, watched, tested = (
        (features, one_hot[labels]) for features, labels in (train, validation, test)
    )
    model.fit(*fitted, batch_size=128, epochs=10, validation_data=watched, verbose=0)
    loss, accuracy = model.evaluate(*tested, batch_size=128, verbose=0)
    return float(loss), float(accuracy)


def _sklearn(train: _Side, validation: _Side, test: _Side, classes: int) -> tuple[float, float]:
    """Standardise, and try four strengths on the validation side; test the best of them."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

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


if __name__ == "__main__":
    sys.exit(main())
