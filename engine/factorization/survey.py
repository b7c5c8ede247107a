"""What splitting each convolution of a network would save and cost, by measurement."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from engine.factorization.convolutions import Convolution, convolutions
from engine.factorization.plan import Option, lost_energy
from engine.factorization.regression import Moments, energies
from engine.factorization.side_by_side import Runner, stages
from engine.factorization.timing import Shape, seconds
from engine.graphs import walk

# Ranks are multiples of this: kernels compute so many channels at a time.
_STEP = 16

# Ranks of a convolution that are timed; between them time is proportional.
_TIMED = 3

# What a split must take at most of the unsplit convolution's time.
_GAIN = 0.95

# Positions of an image whose responses are looked at.
_POSITIONS = 400


@dataclass(frozen=True)
class Responses:
    """What a convolution answers to images.

    energies: see `engine.factorization.regression`. read: the shape of its input, (C, H, W).
    """

    energies: np.ndarray
    read: tuple[int, int, int]


def responses(model: onnx.ModelProto, pixels: np.ndarray) -> dict[str, Responses]:
    """Return what each convolution that can be split answers to pixels, uint8 (N, H, W, 3)."""
    known = convolutions(model.graph)
    nodes = {node.output[0]: node for node in model.graph.node}
    runner = Runner(model)
    tensors: dict[str, np.ndarray] = {"images": pixels}
    parts = stages(model.graph, list(known))
    found = {}
    for number, stage in enumerate(parts):
        later = {name for part in parts[number + 1 :] for name in part.inputs}
        tensors |= runner.run(stage, tensors)
        name = stage.nodes[0].output[0] if len(stage.nodes) == 1 else ""
        if name in known:
            found[name] = Responses(
                energies(_moments(tensors[name])), tensors[nodes[name].input[0]].shape[1:]
            )
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


def options(model: onnx.ModelProto, answers: Mapping[str, Responses]) -> dict[str, list[Option]]:
    """Return the ways to compute each convolution that save time here; the unsplit one first."""
    known = convolutions(model.graph)
    nodes = {node.output[0]: node for node in model.graph.node}
    opset = walk.operator_set(model)
    return {
        name: _options(known[name], answer.energies, Shape(nodes[name], answer.read), opset)
        for name, answer in answers.items()
    }


def _options(convolution: Convolution, kept: np.ndarray, shape: Shape, opset: int) -> list[Option]:
    unsplit = seconds(shape, convolution.kernel.shape, None, opset)
    ranks = np.arange(_STEP, convolution.outputs, _STEP)
    if not len(ranks):
        return [Option(None, unsplit, 0.0)]
    timed = np.unique(np.linspace(0, len(ranks) - 1, _TIMED).round().astype(int))
    measured = [seconds(shape, convolution.kernel.shape, int(ranks[t]), opset) for t in timed]
    return [
        Option(None, unsplit, 0.0),
        *(
            Option(int(rank), float(took), lost_energy(float(kept[rank - 1])))
            for rank, took in zip(ranks, np.interp(ranks, ranks[timed], measured), strict=True)
            if took <= _GAIN * unsplit
        ),
    ]
