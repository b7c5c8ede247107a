"""Which form of a network with fewer multiplications: as fast as its features let it be.

Each plan that is fitted takes as long as some 30 images, so there are two, and a third only where
neither holds. What splitting each convolution alone loses of the features' cosine is added up for a
plan; what it truly loses together says where the next one is to be.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.factorization.convolutions import Split
from engine.factorization.factorize import factorize, features_of
from engine.factorization.float_model import FloatModel
from engine.factorization.plan import choose_ranks
from engine.factorization.survey import options, responses
from engine.factorization.truth import true_answers
from engine.precision.parity import cosine_similarities
from engine.precision.verdict import MIN_COSINE_MEAN, MIN_COSINE_P1

_log = logging.getLogger(__name__)

# Images that splits are fitted to, and others that they are judged by, all of the calibration's.
_FITTED, _JUDGED = 36, 16

# What the convolutions split one by one may lose at first, added up, and by which factor at most
# another plan may differ.
_FIRST_LOSS, _STEP = 0.02, 2.5

# By which power of the share that is lost the next plan's loss follows.
_STEEPNESS = 0.7

# Plans that are fitted, the last only if none holds. Shares of what the features may lose: aimed
# at; from which on no other plan is worth its time; and up to which one holds: 16 images flatter.
_PLANS, _AIM, _ENOUGH, _HOLDS = 3, 0.7, 0.5, 0.85


@dataclass(frozen=True)
class FastForm:
    """What the convolutions of a float model become, by their outputs, and the ranks of that."""

    splits: Mapping[str, Split]
    ranks: dict[str, int]


def fast_form(model: FloatModel, pixels: np.ndarray) -> FastForm | None:
    """Return the fastest form of an exported fp32 model whose features hold; None if there is none.

    pixels: uint8 (N, H, W, 3) RGB, to calibrate on.
    """
    fitted, judged = _parts(pixels)
    truth = true_answers(model, np.concatenate([fitted, judged]), len(fitted))
    true = truth.features[len(fitted) :]
    ways = options(model, responses(model, fitted, truth))
    lost, best, most = _FIRST_LOSS, None, 0.0
    for number in range(_PLANS):
        if best is not None and number > 1:
            break
        ranks = choose_ranks(ways, lost)
        if not ranks:
            break
        splits = factorize(model, ranks, fitted, truth)
        share = _share_lost(true, features_of(model, splits, judged))
        _log.info("%d convolutions split, %.0f%% of what may be lost", len(ranks), 100 * share)
        if share <= _HOLDS and lost > most:
            best, most = FastForm(splits, ranks), lost
            if share >= _ENOUGH:
                break
        factor = (_AIM / max(share, 1e-6)) ** _STEEPNESS
        lost *= float(np.clip(factor, 1 / _STEP, _STEP))
    return best


def _parts(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the images to fit to and to judge by; of few images the larger part to fit to."""
    fitted = min(_FITTED, len(pixels) * 5 // 8)
    return pixels[:fitted], pixels[fitted : fitted + _JUDGED]


def _share_lost(true: np.ndarray, features: np.ndarray) -> float:
    """Return how much of what `auto` lets int8 lose is lost, by the mean or the first percentile.

    A form may lose as much: more than 1 is too much.
    """
    cosines = cosine_similarities(true, features)
    mean, p1 = float(cosines.mean()), float(np.percentile(cosines, 1))
    return max((1 - mean) / (1 - MIN_COSINE_MEAN), (1 - p1) / (1 - MIN_COSINE_P1))
