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

    The energy of a late convolution counts for more than that of an early one: of VGG16, three
    convolutions have a tenth of the time, and splitting them cost as much as splitting all others.
    So the last of a convolution's directions are left out, and what that does to the features is
    measured.
    """
    known = convolutions(model.graph)
    nodes = {node.output[0]: node for node in model.graph.node}
    runner = Runner(model)
    parts = stages(model.graph, list(known))
    (features,) = runner.run(joined(parts), {"images": pixels}).values()
    tensors: dict[str, np.ndarray] = {"images": pixels}
    found = {}
    for number, stage in enumerate(parts):
        rest = parts[number + 1 :]
        tensors |= runner.run(stage, tensors)
        name = stage.nodes[0].output[0] if len(stage.nodes) == 1 else ""
        later = {each for part in rest for each in part.inputs}
        if name in known:
            moments = _moments(tensors[name])
            without, lost = _without_last(tensors[name], moments)
            changed = tensors | {name: without}
            last = joined(rest)
            got = runner.run(last, {each: changed[each] for each in last.inputs})
            (got_features,) = got.values() if last.outputs else (without,)
            off = _cosine_lost(features, got_features)
            read = tensors[nodes[name].input[0]].shape[1:]
            found[name] = Responses(energies(moments), read, off / lost)
        for unused in tensors.keys() - later:
            del tensors[unused]
    return found


def _moments(values: np.ndarray) -> Moments:
    """Return the moments of responses, float32 (N, C, H, W)."""
    moments = Moments.none(values.shape[1])
    for one in values:
        rows = one.reshape(len(one), -1)
        rows = rows[:, :: max(1, rows.shape[1] // _POSITIONS)].T
        moments.add(rows, rows)
    return moments


def _without_last(values: np.ndarray, moments: Moments) -> tuple[np.ndarray, float]:
    """Return responses without their last directions, and what that loses of their energy."""
    kept = energies(moments)
    rank = int(np.searchsorted(kept, _KEPT)) + 1
    mix = reduced_rank(moments, min(rank, len(kept)))
    matrix = (mix.wide @ mix.narrow.T).astype(np.float32)
    shift = mix.shift.astype(np.float32)[:, None, None]
    without = np.stack([np.tensordot(matrix, one, axes=1) + shift for one in values])
    return without.astype(np.float32), max(lost_energy(float(kept[min(rank, len(kept)) - 1])), 1e-9)


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
