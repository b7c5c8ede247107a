"""Whether features hold on images that are not there, said by few, with a margin for how few.

What an image loses of the cosine is spread nearly as a log-normal variable: of VGG16, GoogLeNet and
SqueezeNet split in several ways, int8 and not, the logarithms have a deviation of 0.3 to 0.4 and
hardly a skew. So the first percentile of the cosine, which is about the least of a hundred images,
is known from all of them, by the mean m and the deviation s of the logarithms: a quantile m + z s
said by N values has a variance of about s^2 (1 + z^2 / 2) / N.
"""

import numpy as np

from engine.precision.handover import ComparedFeatures
from engine.precision.parity import Parity, cosine_similarities
from engine.precision.verdict import MIN_COSINE_MEAN, MIN_COSINE_P1, NO_HINT, heads_are_worse

# The 99th percentile of a standard normal variable.
_Z = 2.326

# What two equal features are taken to lose.
_LEAST = 1e-9

# Standard errors that are added, or taken off where it is asked whether features do not hold.
_ERRORS = 2.0

# Images that are compared at least before features are said to hold.
_LEAST_COMPARED = 64


def share_lost(cosines: np.ndarray, errors: float) -> float:
    """Return the share of what `auto` lets int8 lose that is lost, of the mean or the percentile.

    cosines: of images to their true features, float64 (N,). errors: how many standard errors are
    added to what they say; below 0 how many are taken off. More than 1 is too much.
    """
    lost = np.maximum(1 - cosines, _LEAST)
    logs = np.log(lost)
    mean = lost.mean() + errors * lost.std() / len(lost) ** 0.5
    spread = logs.std()
    error = spread * ((1 + _Z**2 / 2) / len(lost)) ** 0.5
    percentile = np.exp(logs.mean() + _Z * spread + errors * error)
    # Of what is not spread so, what was seen.
    percentile = max(percentile, np.percentile(lost, 99))
    return float(max(mean / (1 - MIN_COSINE_MEAN), percentile / (1 - MIN_COSINE_P1)))


def share_of(features: ComparedFeatures, errors: float = _ERRORS) -> float:
    """Return what `share_lost` says of features that were compared."""
    return share_lost(cosine_similarities(features.fp32, features.other), errors)


def holds(parity: Parity, features: ComparedFeatures) -> bool:
    """Tell whether features hold by far enough, and heads on them are no worse."""
    return share_of(features) <= 1 and not heads_are_worse(parity)


def is_settled(parity: Parity, features: ComparedFeatures) -> bool:
    """Tell whether features hold, or do not, so clearly that no more images need be compared."""
    if share_of(features, -_ERRORS) > 1:
        return True
    no_hint = parity.head is None or parity.head.p_value >= NO_HINT
    return parity.images >= _LEAST_COMPARED and share_of(features) <= 1 and no_hint
