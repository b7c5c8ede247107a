"""fp32 graph + pixels + plan -> the same graph with fewer multiplications."""

from collections.abc import Mapping

import numpy as np

from engine.factorization.convolutions import Split, split_node
from engine.factorization.float_model import FloatModel
from engine.factorization.front import Front
from engine.factorization.places import answers_at
from engine.factorization.regression import Moments, reduced_rank
from engine.factorization.truth import Answers, Truth


def factorize(
    model: FloatModel, ranks: Mapping[str, int], pixels: np.ndarray, truth: Truth
) -> dict[str, Split]:
    """Return what convolutions become that are split to ranks, by their outputs.

    pixels: uint8 (N, H, W, 3) RGB, which the splits are fitted to; a few dozen. truth: what the
    network answers to them. Each convolution is fitted to what the split ones before it make of
    the images.
    """
    splits: dict[str, Split] = {}
    front = Front(model, pixels)
    for name in [node.output[0] for node in front.nodes if node.output[0] in ranks]:
        place = next(n for n, node in enumerate(front.nodes) if name in node.output)
        answers = truth.answers[name]
        values = np.empty((len(pixels), len(answers.at), answers.convolution.outputs), np.float32)

        def see(
            number: int,
            read: np.ndarray,
            answers: Answers = answers,
            values: np.ndarray = values,
        ) -> None:
            values[number] = answers_at(answers.convolution, answers.window, read, answers.at)

        front.look(place, front.nodes[place].input[0], see)
        splits[name] = _split(answers, values, ranks[name])
        front.replace(place, split_node(front.nodes[place], splits[name]))
    return splits


def features_of(model: FloatModel, splits: Mapping[str, Split], pixels: np.ndarray) -> np.ndarray:
    """Return what a model with splits gives for pixels, uint8 (N, H, W, 3)."""
    front = Front(model, pixels)
    for place, node in reversed(list(enumerate(front.nodes))):
        if node.output[0] in splits:
            front.replace(place, split_node(node, splits[node.output[0]]))
    return front.finish()


def _split(answers: Answers, values: np.ndarray, rank: int) -> Split:
    """Return a convolution's split. values: its answers there, float32 (N, positions, C)."""
    convolution = answers.convolution
    moments = Moments.none(convolution.outputs)
    for x, y in zip(values, answers.values, strict=False):
        moments.add(x, y.T)
    mix = reduced_rank(moments, rank)
    kernel = np.tensordot(mix.narrow.T, convolution.kernel.astype(np.float64), axes=1)
    bias = mix.shift + mix.wide @ (mix.narrow.T @ convolution.bias)
    return Split(*(np.asarray(a, np.float32) for a in (kernel, mix.wide, bias)))
