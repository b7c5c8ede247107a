"""Answers of heads that did not see the image, at the strength that is best for all folds.

A strength chosen on one small part of few images is a matter of luck: of 200 photographs the best
one for a fifth varies by three decades. Summed over all folds each image has its say.
"""

from dataclasses import dataclass

import numpy as np

from engine.heads.l2_path import STRENGTHS
from engine.heads.lbfgs import optima
from engine.heads.softmax import class_weights, log_softmax, losses, shares_of
from engine.heads.standardised import Standardised

# One a decade, of those that ever are the best of few images.
_TRIED = tuple(strength for strength in STRENGTHS[::2] if 1e-4 <= strength <= 10)


@dataclass(frozen=True)
class OutOfFold:
    """What heads at one L2 strength said of each image.

    right: bool (N,). nats: float64 (N,), the loss of each.
    """

    l2: float
    right: np.ndarray
    nats: np.ndarray


def answer_out_of_fold(
    features: np.ndarray, labels: np.ndarray, fold_of: np.ndarray, among: np.ndarray
) -> OutOfFold:
    """Ask about the images of each fold a head trained on those `among` the other folds.

    features: float32 (N, D). labels: int64 (N,), 0 to C - 1; each class is among them outside of
    each fold. fold_of: int64 (N,). among: bool (N,).

    Raises:
        Failure: the features are too large for float32 arithmetic.
    """
    classes = int(labels.max()) + 1
    right = np.zeros((len(_TRIED), len(labels)), bool)
    nats = np.zeros((len(_TRIED), len(labels)))
    for fold in range(int(fold_of.max()) + 1):
        held_out, chosen = fold_of == fold, (fold_of != fold) & among
        train, y = Standardised(features[chosen]), labels[chosen]
        test = Standardised(features[held_out], (train.centre, train.scale))
        shares = shares_of(y, class_weights(y, classes, balanced=False))
        for number, optimum in enumerate(optima(train, y, shares, classes, _TRIED)):
            logits = test.times(optimum.weights.astype(np.float32)) + optimum.biases
            logs = log_softmax(logits)
            right[number, held_out] = logs.argmax(axis=1) == labels[held_out]
            nats[number, held_out] = losses(logs, labels[held_out])
    best = int(nats.mean(axis=1).argmin())
    return OutOfFold(_TRIED[best], right[best], nats[best])
