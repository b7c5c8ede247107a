"""fp32 graph + pixels + plan -> the same graph with fewer multiplications."""

from collections.abc import Mapping

import numpy as np

from engine.factorization.convolutions import Split, split_node
from engine.factorization.float_model import FloatModel
from engine.factorization.front import Front
from engine.factorization.truth import Truth, seen_columns
from engine.factorization.two_ways import fit


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
        patches = seen_columns(front, place, answers)
        true = answers.values[: len(pixels)].transpose(0, 2, 1)
        splits[name] = fit(
            answers.convolution.kernel,
            patches.reshape(-1, *patches.shape[2:]),
            true.reshape(-1, answers.convolution.outputs),
            ranks[name],
        )
        front.replace(place, split_node(front.nodes[place], splits[name]))
    return splits


def features_of(model: FloatModel, splits: Mapping[str, Split], pixels: np.ndarray) -> np.ndarray:
    """Return what a model with splits gives for pixels, uint8 (N, H, W, 3)."""
    front = Front(model, pixels)
    for place, node in reversed(list(enumerate(front.nodes))):
        if node.output[0] in splits:
            front.replace(place, split_node(node, splits[node.output[0]]))
    return front.finish()
