"""A float model whose nodes are run in parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from engine.graphs import walk
from engine.graphs.session import session


@dataclass(frozen=True)
class FloatModel:
    """A float model. folder: of the data file that its constants are said to lie in, if any do."""

    proto: onnx.ModelProto
    folder: Path | None = None

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        """Its nodes, in topological order."""
        return list(self.proto.graph.node)

    @property
    def ends(self) -> set[str]:
        """Its outputs."""
        return {output.name for output in self.proto.graph.output}

    def part(
        self,
        nodes: Sequence[onnx.NodeProto],
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str],
        constants: Sequence[onnx.TensorProto] = (),
    ) -> onnxruntime.InferenceSession:
        """Return a session of some nodes, perhaps others than its own.

        inputs: by name, arrays as they are fed, images on the first axis. constants: that it has
            not itself.
        """
        known = walk.constants(self.proto.graph) | {each.name: each for each in constants}
        used = {name for node in nodes for name in node.input}
        graph = helper.make_graph(
            nodes,
            "part",
            [
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(array.dtype), ["N", *array.shape[1:]]
                )
                for name, array in inputs.items()
            ],
            [onnx.ValueInfoProto(name=name) for name in outputs],
            [known[name] for name in sorted(used & known.keys())],
        )
        proto = helper.make_model(
            graph, opset_imports=self.proto.opset_import, ir_version=self.proto.ir_version
        )
        # For a few images each, and several at once: dense weights would be there twice in each.
        return session(proto.SerializeToString(), self.folder, packed=False)
