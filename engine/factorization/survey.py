"""What splitting each convolution of a network would save and cost, by measurement."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.factorization.directions import Directions
from engine.factorization.float_model import FloatModel
from engine.factorization.front import Front
from engine.factorization.plan import Option, lost_energy
from engine.factorization.timing import Shape, seconds
from engine.factorization.truth import Answers, Truth
from engine.graphs import walk

# Ranks are multiples of this: kernels compute so many channels at a time.
_STEP = 16

# Ranks of a convolution that are timed; between them time is proportional.
_TIMED = 3

# What a split must take at most of the unsplit convolution's time.
_GAIN = 0.95

# The share of a convolution's energy that is left while its sensitivity is measured.
_KEPT = 0.97

# Images that the sensitivity is measured on.
_SENSED = 3


@dataclass(frozen=True)
class Responses:
    """What a convolution answers to images.

    energies: see `engine.factorization.regression`. sensitivity: what is lost of the features'
    cosine for what is lost of the energy.
    """

    answers: Answers
    energies: np.ndarray
    sensitivity: float


def responses(model: FloatModel, pixels: np.ndarray, truth: Truth) -> dict[str, Responses]:
    """Return what each convolution that can be split answers to images, by `truth`.

    Its directions are those of one half of the images; what they keep is asked of the other half.
    The energy of one convolution may matter more to the features than that of another. So the last
    of its directions are left out of its answers to a few images, and what that does to their
    features is measured.

    pixels: uint8 (N, H, W, 3), of the images that truth is of.
    """
    count = len(next(iter(truth.answers.values())).values) if truth.answers else 0
    half = max(1, count // 2)
    few = slice(half, half + _SENSED) if count > half else slice(0, half)
    # Few enough to be kept anywhere.
    front = Front(model, pixels[few], limit=sys.maxsize)
    features = truth.features[few]
    found = {}
    for name, answers in truth.answers.items():
        mine, others = np.split(answers.values, [half])
        directions = Directions.of(mine)
        kept = directions.energies(others if len(others) else mine)
        rank = min(int(np.searchsorted(kept, _KEPT)) + 1, len(kept))
        place = next(n for n, node in enumerate(front.nodes) if name in node.output)
        front.look(place + 1, name, lambda *_: None)
        without = {name: directions.without_last(front.tensors[name], rank)}
        lost = _cosine_lost(features, front.finish(without))
        found[name] = Responses(answers, kept, lost / max(lost_energy(kept[rank - 1]), 1e-9))
    return found


def _cosine_lost(true: np.ndarray, got: np.ndarray) -> float:
    """Return 1 minus the mean cosine of features, at least a little: nothing is quite free."""
    one, other = (each.reshape(len(each), -1).astype(np.float64) for each in (true, got))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    dots = np.einsum("ij,ij->i", one, other)
    return max(float(1 - (dots / np.maximum(lengths, 1e-30)).mean()), 1e-9)


def options(model: FloatModel, found: Mapping[str, Responses]) -> dict[str, list[Option]]:
    """Return the ways to compute each convolution that save time here; the unsplit one first."""
    nodes = {node.output[0]: node for node in model.nodes}
    opset = walk.operator_set(model.proto)
    return {
        name: _options(each, Shape(nodes[name], each.answers.read), opset)
        for name, each in found.items()
    }


def _options(answer: Responses, shape: Shape, opset: int) -> list[Option]:
    convolution = answer.answers.convolution
    unsplit = seconds(shape, convolution.kernel.shape, None, opset)
    ranks = np.arange(_STEP, convolution.outputs, _STEP)
    if not len(ranks):
        return [Option(None, unsplit, 0.0)]
    timed = np.unique(np.linspace(0, len(ranks) - 1, _TIMED).round().astype(int))
    measured = [seconds(shape, convolution.kernel.shape, int(ranks[t]), opset) for t in timed]
    return [
        Option(None, unsplit, 0.0),
        *(
            Option(int(rank), float(took), _lost(answer, int(rank)))
            for rank, took in zip(ranks, np.interp(ranks, ranks[timed], measured), strict=True)
            if took <= _GAIN * unsplit
        ),
    ]


def _lost(answer: Responses, rank: int) -> float:
    """Return what a rank loses of the features' cosine, by what it loses of the energy."""
    return answer.sensitivity * lost_energy(float(answer.energies[rank - 1]))
