"""What the true network answers to images, in one pass over them."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from engine.factorization.convolutions import Convolution, convolutions
from engine.factorization.float_model import FloatModel
from engine.factorization.front import Front
from engine.factorization.places import Window, columns_at, places
from engine.graphs import walk
from engine.graphs.session import available_cores, run


@dataclass(frozen=True)
class Answers:
    """What a convolution answers. at: positions. values: float32 (N, C, positions).

    read: the shape of what it reads, (C, H, W).
    """

    convolution: Convolution
    window: Window
    read: tuple[int, ...]
    at: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Truth:
    """What a network answers to images.

    features: float32 (N, ...), of all. answers: of each convolution that can be split, by its
    output, to the first of the images.
    """

    features: np.ndarray
    answers: Mapping[str, Answers]


def true_answers(model: FloatModel, pixels: np.ndarray, count: int) -> Truth:
    """Return what a network answers to pixels, uint8 (N, H, W, 3).

    count: of how many of the images the answers of convolutions are kept.
    """
    known = convolutions(model)
    shapes = _shapes(model, pixels[:1])
    nodes = {node.output[0]: node for node in model.nodes}
    answers = {}
    looks: list[onnx.NodeProto] = []
    constants = []
    for number, (name, convolution) in enumerate(known.items()):
        node = nodes[name]
        read = shapes[node.input[0]][1:]
        size = (convolution.kernel.shape[2], convolution.kernel.shape[3])
        window = Window.of(walk.attributes(node), size, (read[1], read[2]))
        at = places(window.given[0] * window.given[1])
        values = np.empty((count, convolution.outputs, len(at)), np.float32)
        answers[name] = Answers(convolution, window, read, at, values)
        rows, where = f"{name}/rows", f"{name}/at"
        constants.append(numpy_helper.from_array(at.astype(np.int64), where))
        looks += [
            helper.make_node("Reshape", [name, "rows/shape"], [rows]),
            helper.make_node("Gather", [rows, where], [f"looked/{number}"], axis=2),
        ]
    constants.append(numpy_helper.from_array(np.array([0, 0, -1], np.int64), "rows/shape"))
    (end,) = model.ends
    watched = [each.values for each in answers.values()]
    features = _run(model, pixels[:count], (end, looks, constants), watched)
    if len(pixels) > count:
        # Unwatched it is faster: then ONNX Runtime fuses activations with what they follow.
        features = np.concatenate([features, _run(model, pixels[count:], (end, [], []), [])])
    return Truth(features, answers)


def _run(
    model: FloatModel,
    pixels: np.ndarray,
    looking: tuple[str, list[onnx.NodeProto], list[onnx.TensorProto]],
    values: list[np.ndarray],
) -> np.ndarray:
    """Fill what is looked at; return the features."""
    end, looks, constants = looking
    watched = onnx.ModelProto()
    watched.CopyFrom(model.proto)
    watched.graph.initializer.extend(constants)
    outputs = [end, *(f"looked/{number}" for number in range(len(values)))]
    runner = FloatModel(watched, model.folder).part(
        [*model.nodes, *looks], {"images": pixels}, outputs
    )

    def one(number: int) -> np.ndarray:
        features, *looked = run(runner, outputs, pixels[number : number + 1])
        for each, value in zip(values, looked, strict=True):
            each[number] = value[0]
        return features

    with ThreadPoolExecutor(available_cores()) as pool:
        return np.concatenate(list(pool.map(one, range(len(pixels)))))


def _shapes(model: FloatModel, pixels: np.ndarray) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what convolutions that can be split read of an image."""
    known = convolutions(model)
    names = sorted({node.input[0] for node in model.nodes if node.output[0] in known})
    nodes = walk.needed(model.nodes, names)
    looks = [helper.make_node("Shape", [name], [f"shape/{n}"]) for n, name in enumerate(names)]
    outputs = [f"shape/{n}" for n in range(len(names))]
    runner = model.part([*nodes, *looks], {"images": pixels}, outputs)
    values = run(runner, outputs, pixels)
    return {name: tuple(map(int, value)) for name, value in zip(names, values, strict=True)}


def seen_columns(
    front: Front, place: int, answers: Answers, which: slice = slice(None)
) -> np.ndarray:
    """Return what the convolution at a place reads of each image, where its answers are known.

    which: of the columns of its kernel. Returns: float32 (N, positions, KW, I KH).
    """
    _, inputs, down, across = answers.convolution.kernel.shape
    seen = len(range(across)[which])
    patches = np.empty((front.images, len(answers.at), seen, inputs * down), np.float32)

    def see(number: int, read: np.ndarray) -> None:
        patches[number] = columns_at(answers.window, read, answers.at, which)

    front.look(place, front.nodes[place].input[0], see)
    return patches
