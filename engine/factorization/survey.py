"""What splitting each convolution of a network would save and cost, by measurement."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from engine.factorization.convolutions import Convolution, convolutions
from engine.factorization.plan import Option, lost_energy
from engine.factorization.regression import Moments, energies, reduced_rank
from engine.factorization.side_by_side import Runner, joined, stages
from engine.factorization.timing import Shape, seconds
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
_SENSED = 4

# Positions of an image whose responses are looked at.
_POSITIONS = 400


@dataclass(frozen=True)
class Responses:
    """What a convolution answers to images.

    energies: see `engine.factorization.regression`. read: the shape of its input, (C, H, W).
    sensitivity: what is lost of the features' cosine for what is lost of the energy.
    """

    energies: np.ndarray
    read: tuple[int, ...]
    sensitivity: float


def responses(model: onnx.ModelProto, pixels: np.ndarray) -> dict[str, Responses]:
    """Return what each convolution that can be split answers to pixels, uint8 (N, H, W, 3).

    Its directions are those of one half of the images; what they keep is asked of the other half.
    The energy of one convolution may matter more to the features than that of another. So the last
    of its directions are left out of its answers to a few images, and what that does to their
    features is measured.
    """
    known = convolutions(model.graph)
    nodes = {node.output[0]: node for node in model.graph.node}
    runner = Runner(model)
    parts = stages(model.graph, list(known))
    half = max(1, len(pixels) // 2)
    few = slice(half, half + _SENSED) if len(pixels) > half else slice(0, half)
    (features,) = runner.run(joined(parts), {"images": pixels[few]}).values()
    tensors: dict[str, np.ndarray] = {"images": pixels}
    answers = {}
    for number, stage in enumerate(parts):
        rest = parts[number + 1 :]
        tensors |= runner.run(stage, tensors)
        name = stage.nodes[0].output[0] if len(stage.nodes) == 1 else ""
        later = {each for part in rest for each in part.inputs}
        if name in known:
            mine, others = (_moments(each) for each in np.split(tensors[name], [half]))
            kept = energies(mine, others if others.count else mine)
            rank = min(int(np.searchsorted(kept, _KEPT)) + 1, len(kept))
            without = {name: _without_last(tensors[name][few], mine, rank)}
            last = joined(rest)
            read = {each: without.get(each, tensors[each][few]) for each in last.inputs}
            (changed,) = (runner.run(last, read) or without).values()
            sensitivity = _cosine_lost(features, changed) / max(lost_energy(kept[rank - 1]), 1e-9)
            shape = tensors[nodes[name].input[0]].shape[1:]
            answers[name] = Responses(kept, shape, sensitivity)
        for unused in tensors.keys() - later:
            del tensors[unused]
    return answers


def _moments(values: np.ndarray) -> Moments:
    """Return the moments of responses, float32 (N, C, H, W)."""
    moments = Moments.none(values.shape[1])
    for one in values:
        rows = one.reshape(len(one), -1)
        rows = rows[:, :: max(1, rows.shape[1] // _POSITIONS)].T
        moments.add(rows, rows)
    return moments


def _without_last(values: np.ndarray, moments: Moments, rank: int) -> np.ndarray:
    """Return responses without their last directions, float32 (N, C, H, W)."""
    mix = reduced_rank(moments, rank)
    matrix = (mix.wide @ mix.narrow.T).astype(np.float32)
    shift = mix.shift.astype(np.float32)[:, None, None]
    return np.stack([np.tensordot(matrix, one, axes=1) + shift for one in values])


def _cosine_lost(true: np.ndarray, got: np.ndarray) -> float:
    """Return 1 minus the mean cosine of features, at least a little: nothing is quite free."""
    one, other = (each.reshape(len(each), -1).astype(np.float64) for each in (true, got))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    dots = np.einsum("ij,ij->i", one, other)
    return max(float(1 - (dots / np.maximum(lengths, 1e-30)).mean()), 1e-9)


def options(model: onnx.ModelProto, answers: Mapping[str, Responses]) -> dict[str, list[Option]]:
    """Return the ways to compute each convolution that save time here; the unsplit one first."""
    known = convolutions(model.graph)
    nodes = {node.output[0]: node for node in model.graph.node}
    opset = walk.operator_set(model)
    return {
        name: _options(known[name], answer, Shape(nodes[name], answer.read), opset)
        for name, answer in answers.items()
    }


def _options(convolution: Convolution, answer: Responses, shape: Shape, opset: int) -> list[Option]:
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
