"""Temperature scaling: a head as sure as it is right (Guo et al., ICML 2017, section 4.2)."""

from dataclasses import replace

import numpy as np

from engine.heads.head import Head
from engine.heads.rows import FeatureRows
from engine.heads.softmax import log_softmax, losses

# Newton's steps on a convex function of one number, and the least and largest it may become.
_STEPS = 30
_BOUNDS = (0.05, 20.0)


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return T, above 0, for which softmax(logits / T) has the least mean cross-entropy.

    Each label counts as right in N + 1 of N + 2 cases, so that N answers without a mistake do not
    make a head surer than they can prove (Platt, Probabilistic outputs for SVMs, 1999, eq. 17).

    logits: (N, C). labels: int64 (N,).
    """
    wide = logits.astype(np.float64)
    doubt = 1 / (len(labels) + 2)
    actual = (1 - doubt) * wide[np.arange(len(labels)), labels] + doubt * wide.mean(axis=1)
    inverse = 1.0
    for _ in range(_STEPS):
        probabilities = np.exp(log_softmax(wide * inverse))
        expected = (probabilities * wide).sum(axis=1)
        slope = float((expected - actual).mean())
        spread = (probabilities * wide**2).sum(axis=1) - expected**2
        curvature = max(float(spread.mean()), 1e-12)
        # At most by half or to the double: far from the least value Newton's step overshoots.
        step = float(np.clip(inverse - slope / curvature, inverse / 2, inverse * 2))
        step = float(np.clip(step, 1 / _BOUNDS[1], 1 / _BOUNDS[0]))
        if abs(step - inverse) < 1e-9 * inverse:
            break
        inverse = step
    return 1 / inverse


def scaled_where_it_helps(head: Head, validation: FeatureRows) -> tuple[Head, float]:
    """Return the head with its logits divided by a temperature, and that; 1 where it does not help.

    It helps if temperatures that are taken from one half of the validation images lower the loss
    of the other halves together.
    """
    logits = np.empty((len(validation.labels), len(head.classes)))
    for positions, features in validation.blocks():
        logits[positions] = head.logits(features)
    gain = 0.0
    for half in (0, 1):
        chosen, other = slice(half, None, 2), slice(1 - half, None, 2)
        if not len(validation.labels[other]):
            return head, 1.0
        value = temperature(logits[chosen], validation.labels[chosen])
        labels = validation.labels[other]
        gain += float(losses(log_softmax(logits[other]), labels).sum())
        gain -= float(losses(log_softmax(logits[other] / value), labels).sum())
    if gain <= 0:
        return head, 1.0
    value = temperature(logits, validation.labels)
    factor = np.float32(1 / value)
    return replace(head, weights=head.weights * factor, biases=head.biases * factor), value
