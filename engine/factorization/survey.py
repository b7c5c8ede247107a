"""What splitting each convolution of a network would save and cost, by measurement."""

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from engine.factorization.directions import Directions
from engine.factorization.float_model import FloatModel
from engine.factorization.front import Front
from engine.factorization.plan import Option, lost_energy
from engine.factorization.timing import Shape, seconds
from engine.factorization.truth import Answers, Truth, seen_columns
from engine.factorization.two_ways import columns
from engine.graphs import walk
from engine.graphs.session import available_cores

# Ranks are multiples of this: kernels compute so many channels at a time.
_STEP = 16

# Ranks of a convolution that are timed; between them time is proportional.
_TIMED = 2

# What a split must take at most of the unsplit convolution's time.
_GAIN = 0.95

# The share of a convolution's energy that is left while its sensitivity is measured.
_KEPT = 0.97

# How many channels a split has between at most, for one of the convolution's.
_WIDEST = 1.5

# Images whose responses are looked at, and that the sensitivity is measured on.
_SURVEYED = 8
_SENSED = 2


@dataclass(frozen=True)
class Responses:
    """What a convolution answers to images.

    kept: of the energy of its answers by a split to rank r, at r - 1. sensitivity: what is lost of
    the features' cosine for what is lost of the energy.
    """

    answers: Answers
    kept: np.ndarray
    sensitivity: float


def responses(model: FloatModel, pixels: np.ndarray, truth: Truth) -> dict[str, Responses]:
    """Return what each convolution that can be split answers to images, by `truth`.

    The directions of a split are those of one half of some images; what they leave is asked of the
    other half, with columns of the kernel taken to answer each for itself. The energy of one
    convolution may matter more to the features than that of another. So the last directions are
    left out of its answers to a few images, and what that does to their features is measured.

    pixels: uint8 (N, H, W, 3), of the images that truth is of.
    """
    some = pixels[:_SURVEYED]
    half = max(1, len(some) // 2)
    few = slice(half, half + _SENSED) if len(some) > half else slice(0, half)
    # Few enough to be kept anywhere.
    sensed, surveyed = Front(model, pixels[few], limit=sys.maxsize), Front(model, some)
    asked = {}
    # Of each convolution apart, so that no core waits for what NumPy does on one.
    with ThreadPoolExecutor(available_cores()) as pool:
        for name, answers in truth.answers.items():
            place = next(n for n, node in enumerate(sensed.nodes) if name in node.output)
            kernel = answers.convolution.kernel
            middle = kernel.shape[3] // 2
            patches = seen_columns(surveyed, place, answers, slice(middle, middle + 1))
            sensed.look(place + 1, name, lambda *_: None)
            mine, others = _halves(answers.values[: len(some)].transpose(0, 2, 1), half)
            asked[name] = (
                pool.submit(_left_by_splits, kernel, patches, half),
                pool.submit(_sensitivity, sensed.here(), name, (mine, others), truth.features[few]),
            )
    found = {}
    for name, (by_splits, by_features) in asked.items():
        energy, sensitivity = by_features.result()
        kept = 1 - np.minimum(by_splits.result() / energy, 1)
        found[name] = Responses(truth.answers[name], kept, sensitivity)
    return found


def _sensitivity(
    front: Front, name: str, halves: tuple[np.ndarray, np.ndarray], features: np.ndarray
) -> tuple[float, float]:
    """Return the energy of a convolution's answers, and what the features lose for losing of it.

    front: images that have come to its answers. halves: answers of two halves of other images.
    features: the true ones of those at the front.
    """
    mine, others = halves
    directions = Directions.of(mine)
    left = directions.left(others)
    energy = max(float(left[0]), 1e-30)
    rank = max(1, int(np.argmax(left <= (1 - _KEPT) * energy)))
    without = {name: directions.without_last(front.tensors[name], rank)}
    lost = _cosine_lost(features, front.finish(without))
    return energy, lost / max(lost_energy(float(1 - left[rank] / energy)), 1e-9)


def _left_by_splits(kernel: np.ndarray, patches: np.ndarray, half: int) -> np.ndarray:
    """Return the variance that splits of each rank, from 1 on, leave of a convolution's answers.

    patches: what it reads of images in its middle column, float32 (N, positions, 1, I KH).
    """
    mine, others = _halves(patches[:, :, 0] @ columns(kernel), half)
    return Directions.of(mine).left(others)[1:]


def _halves(values: np.ndarray, half: int) -> tuple[np.ndarray, np.ndarray]:
    """Return responses of two halves of the images, float32 (rows, C) each.

    values: float32 (N, positions, C).
    """
    channels = values.shape[2]
    mine, others = values[:half], values[half:] if len(values) > half else values
    return mine.reshape(-1, channels), others.reshape(-1, channels)


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
    # Several at once: so they run where images are spread over the cores. Time is a thread's own.
    with ThreadPoolExecutor(available_cores()) as pool:
        ways = pool.map(
            lambda name: _options(found[name], Shape(nodes[name], found[name].answers.read), opset),
            found,
        )
        return dict(zip(found, ways, strict=True))


def _options(answer: Responses, shape: Shape, opset: int) -> list[Option]:
    convolution = answer.answers.convolution
    unsplit = seconds(shape, convolution.kernel.shape, None, opset)
    ranks = np.arange(_STEP, len(answer.kept), _STEP)
    # Wider ones would take longer than the convolution itself.
    ranks = ranks[ranks <= _WIDEST * convolution.outputs]
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
    return answer.sensitivity * lost_energy(float(answer.kept[rank - 1]))
