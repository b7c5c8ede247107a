"""Two forms of a network over the same images, stage by stage: the true one, the approximated one.

A stage is what lies between two convolutions that are split. Each is run once over all images, and
only what later stages read is kept: the memory is that of a layer's tensors, not of a network's.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from engine.graphs import walk
from engine.graphs.session import BATCH_SIZE, available_cores, session


@dataclass(frozen=True)
class Stage:
    """Consecutive nodes of a graph.

    inputs: tensors of earlier stages that they read. outputs: those of theirs that later ones do.
    """

    nodes: Sequence[onnx.NodeProto]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def stages(graph: onnx.GraphProto, ends: Sequence[str]) -> list[Stage]:
    """Return a graph in stages: each of the tensors `ends` is made by a stage of its own node.

    ends: outputs of nodes, in the graph's order. Between them lies a stage of all else, which may
    be empty; the last one gives the graph's outputs.
    """
    groups: list[list[onnx.NodeProto]] = [[]]
    for node in graph.node:
        if node.output[0] in ends:
            groups += [[node], []]
        else:
            groups[-1].append(node)
    constants = walk.constants(graph)
    final = {output.name for output in graph.output}
    read_later: set[str] = set(final)
    result = []
    for nodes in reversed(groups):
        made = {name for node in nodes for name in node.output}
        read = {name for node in nodes for name in node.input if name} - made - constants.keys()
        outputs = tuple(sorted(made & read_later))
        result.append(Stage(nodes, tuple(sorted(read)), outputs))
        read_later |= read
    return result[::-1]


def joined(parts: Sequence[Stage]) -> Stage:
    """Return consecutive stages as one."""
    nodes = [node for part in parts for node in part.nodes]
    given = {name for node in nodes for name in node.output}
    read = {name for part in parts for name in part.inputs} - given
    outputs = next((part.outputs for part in reversed(parts) if part.nodes), ())
    return Stage(nodes, tuple(sorted(read)), outputs)


class Runner:
    """Runs stages of a model over all images, in batches on all cores."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._constants = walk.constants(model.graph)

    def run(self, stage: Stage, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return a stage's outputs for all images.

        tensors: its inputs, images on the first axis.
        """
        if not stage.outputs:
            return {}
        images = len(tensors[stage.inputs[0]])
        runner = session(self._stage_model(stage, tensors).SerializeToString())

        def batch(start: int) -> list[np.ndarray]:
            feeds = {n: tensors[n][start : start + BATCH_SIZE] for n in stage.inputs}
            return list(runner.run(list(stage.outputs), feeds))

        with ThreadPoolExecutor(available_cores()) as pool:
            results: dict[str, np.ndarray] = {}
            starts = range(0, images, BATCH_SIZE)
            for start, values in zip(starts, pool.map(batch, starts), strict=True):
                for name, value in zip(stage.outputs, values, strict=True):
                    if name not in results:
                        results[name] = np.empty((images, *value.shape[1:]), value.dtype)
                    results[name][start : start + len(value)] = value
        return results

    def _stage_model(self, stage: Stage, tensors: Mapping[str, np.ndarray]) -> onnx.ModelProto:
        used = {name for node in stage.nodes for name in node.input}
        graph = helper.make_graph(
            stage.nodes,
            "stage",
            [
                helper.make_tensor_value_info(
                    name,
                    helper.np_dtype_to_tensor_dtype(tensors[name].dtype),
                    ["N", *tensors[name].shape[1:]],
                )
                for name in stage.inputs
            ],
            [onnx.ValueInfoProto(name=name) for name in stage.outputs],
            [self._constants[name] for name in sorted(used & self._constants.keys())],
        )
        return helper.make_model(
            graph, opset_imports=self._model.opset_import, ir_version=self._model.ir_version
        )
