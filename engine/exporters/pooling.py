"""The average or the maximum over the positions of a map, or over tokens, as nodes of a graph."""

import onnx
from onnx import helper

_OPERATORS = {"avg": "GlobalAveragePool", "max": "GlobalMaxPool"}


def pooling_nodes(
    pool: str, source: str, rank: int, *, channels_last: bool
) -> list[onnx.NodeProto]:
    """Return nodes that pool a tensor of `rank` axes to (N, C, 1, ...); none for `none`.

    channels_last: whether it is (N, ..., C), not (N, C, ...).
    """
    nodes: list[onnx.NodeProto] = []
    if pool == "none":
        return nodes
    if channels_last:
        perm = [0, rank - 1, *range(1, rank - 1)]
        nodes.append(helper.make_node("Transpose", [source], ["channels_first"], perm=perm))
        source = "channels_first"
    nodes.append(helper.make_node(_OPERATORS[pool], [source], ["pooled"], name="pooling"))
    return nodes
