"""Which form of a network with fewer multiplications: as fast as its features let it be.

Each plan that is fitted takes as long as some 30 images. What splitting each convolution alone
loses of the features' cosine is added up for a plan; what it truly loses together, on images that
it was not fitted to, says whether another is fitted, and where.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.factorization.convolutions import Split
from engine.factorization.factorize import factorize, features_of
from engine.factorization.float_model import FloatModel
from engine.factorization.plan import Option, choose_ranks
from engine.factorization.survey import options, responses
from engine.factorization.truth import Truth, true_answers
from engine.precision.margin import share_lost
from engine.precision.parity import cosine_similarities

_log = logging.getLogger(__name__)

# Images that splits are fitted to, and others that they are judged by, all of the calibration's.
_FITTED, _JUDGED = 28, 16

# What the convolutions split one by one may lose at first, added up: for VGG16, GoogLeNet and
# SqueezeNet that is near the end. By which factor at most another plan may differ.
_FIRST_LOSS, _STEP = 0.011, 2.5

# By which power of the share that is lost the next plan's loss follows.
_STEEPNESS = 0.7

# Plans that are fitted, the last only if none holds.
_PLANS = 3

# The share of what features may lose that a form is to lose in float, its standard error added.
# Integers take some of the rest.
AIM = 0.75

# Times the aim: from which on no other plan is worth its time, and up to which one holds.
_ENOUGH, _HOLDS = 0.75, 1.1


@dataclass(frozen=True)
class Survey:
    """What is known of a float model before any of it is split.

    fitted, judged: uint8 (N, H, W, 3), images to fit splits to and to judge them by. truth: what it
    answers to both, one after the other. ways: to compute each convolution.
    """

    model: FloatModel
    fitted: np.ndarray
    judged: np.ndarray
    truth: Truth
    ways: Mapping[str, Sequence[Option]]


@dataclass(frozen=True)
class FastForm:
    """What the convolutions of a float model become, by their outputs, and the ranks of that.

    expected: what it was to lose of the cosine, by what its convolutions lose one by one. share: of
    what features may lose, measured, a standard error added.
    """

    splits: Mapping[str, Split]
    ranks: dict[str, int]
    expected: float
    share: float


def survey(model: FloatModel, pixels: np.ndarray) -> Survey:
    """Return what is to be known of an exported fp32 model before any of it is split.

    pixels: uint8 (N, H, W, 3) RGB, to calibrate on.
    """
    fitted, judged = _parts(pixels)
    truth = true_answers(model, np.concatenate([fitted, judged]), len(fitted))
    return Survey(model, fitted, judged, truth, options(model, responses(model, fitted, truth)))


def fast_form(known: Survey, aim: float = AIM, before: FastForm | None = None) -> FastForm | None:
    """Return the fastest form of a model whose features hold; None if there is none.

    aim: the share of what features may lose that it is to lose. before: a form that lost too much.
    """
    expected = _FIRST_LOSS if before is None else _next(before, aim)
    best = None
    for number in range(_PLANS):
        if best is not None and number > 1:
            break
        form = _fitted(known, expected)
        if form is None:
            break
        if form.share <= _HOLDS * aim and (best is None or expected > best.expected):
            best = form
            if form.share >= _ENOUGH * aim:
                break
        expected = _next(form, aim)
    return best


def _fitted(known: Survey, expected: float) -> FastForm | None:
    """Return the form of the plan that is expected to lose so much; None if it splits nothing."""
    ranks = choose_ranks(known.ways, expected)
    if not ranks:
        return None
    splits = factorize(known.model, ranks, known.fitted, known.truth)
    true = known.truth.features[len(known.fitted) :]
    cosines = cosine_similarities(true, features_of(known.model, splits, known.judged))
    share = share_lost(cosines, errors=1)
    _log.info("%d convolutions split, %.0f%% of what may be lost", len(ranks), 100 * share)
    return FastForm(splits, ranks, expected, share)


def _next(form: FastForm, aim: float) -> float:
    """Return what the next plan is expected to lose, by what one has truly lost."""
    factor = (aim / max(form.share, 1e-6)) ** _STEEPNESS
    return form.expected * float(np.clip(factor, 1 / _STEP, _STEP))


def _parts(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the images to fit to and to judge by; of few images the larger part to fit to."""
    fitted = min(_FITTED, len(pixels) * 5 // 8)
    return pixels[:fitted], pixels[fitted : fitted + _JUDGED]
