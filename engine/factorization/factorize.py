"""fp32 graph + pixels + plan -> the same graph with fewer multiplications."""

from collections.abc import Mapping

import numpy as np
import onnx

from engine.factorization.convolutions import (
    Convolution,
    Split,
    convolutions,
    split_convolutions,
)
from engine.factorization.regression import Moments, reduced_rank
from engine.factorization.side_by_side import Runner, stages

# Positions of an image that a regression takes at most, evenly spread.
_POSITIONS = 400


def factorize(
    model: onnx.ModelProto, ranks: Mapping[str, int], pixels: np.ndarray
) -> onnx.ModelProto:
    """Return a model whose convolutions of `ranks` are split to those ranks, by their outputs.

    pixels: uint8 (N, H, W, 3) RGB, which the splits are fitted to; a few dozen.
    """
    graph = model.graph
    known = convolutions(graph)
    runner = Runner(model)
    splits: dict[str, Split] = {}
    true: dict[str, np.ndarray] = {"images": pixels}
    approximated = dict(true)  # the same arrays, until a convolution is split
    rest = stages(graph, list(ranks))
    for number, stage in enumerate(rest):
        needed = {name for later in rest[number + 1 :] for name in later.inputs}
        target = stage.nodes[0].output[0] if len(stage.nodes) == 1 else ""
        true |= runner.run(stage, true)
        same = all(approximated[name] is true[name] for name in stage.inputs)
        made = {n: true[n] for n in stage.outputs} if same else runner.run(stage, approximated)
        if target in ranks:
            splits[target], mixed = _split(known[target], ranks[target], made[target], true[target])
            made = {target: mixed}
        approximated |= made
        for tensors in (true, approximated):
            for name in tensors.keys() - needed:
                del tensors[name]
    return split_convolutions(model, splits)


def _split(
    convolution: Convolution, rank: int, x: np.ndarray, y: np.ndarray
) -> tuple[Split, np.ndarray]:
    """Return a convolution's split, and what that answers where it answered x.

    x, y: float32 (N, C, H, W), its responses on approximated inputs and the true ones.
    """
    moments = Moments.none(convolution.outputs)
    places = _places(x.shape[2] * x.shape[3])
    for one, other in zip(x, y, strict=True):
        moments.add(*(each.reshape(len(each), -1)[:, places].T for each in (one, other)))
    mix = reduced_rank(moments, rank)
    kernel = np.tensordot(mix.narrow.T, convolution.kernel.astype(np.float64), axes=1)
    bias = mix.shift + mix.wide @ (mix.narrow.T @ convolution.bias)
    split = Split(*(np.asarray(a, np.float32) for a in (kernel, mix.wide, bias)))
    matrix = (mix.wide @ mix.narrow.T).astype(np.float32)
    mixed = np.empty_like(x)
    for number, one in enumerate(x):
        answer = matrix @ one.reshape(len(one), -1) + mix.shift.astype(np.float32)[:, None]
        mixed[number] = answer.reshape(one.shape)
    return split, mixed


def _places(count: int) -> np.ndarray:
    """Return up to _POSITIONS of so many positions, evenly spread, away from no border."""
    if count <= _POSITIONS:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, _POSITIONS).round().astype(int))
