"""Ways through the nodes of an ONNX graph."""

import onnx
from int8_samples import node

from engine.graphs.walk import consumers, needed, operator_set


def test_only_what_is_needed_is_kept_in_its_order():
    nodes = [
        node("Relu", "x", "a"),
        node("Relu", "x", "dead"),
        node("Relu", "dead", "deader"),
        node("Add", "a x", "b"),
    ]
    assert [n.output[0] for n in needed(nodes, ["b"])] == ["a", "b"]
    assert needed(nodes, ["x"]) == []
    assert [n.output[0] for n in consumers(nodes)["x"]] == ["a", "dead", "b"]


def test_the_operator_set_is_that_of_onnx_itself():
    def made(*entries):
        return onnx.ModelProto(opset_import=[onnx.helper.make_opsetid(*e) for e in entries])

    assert operator_set(made(("com.microsoft", 99), ("", 17))) == 17
    assert operator_set(made(("ai.onnx", 12))) == 12
    assert operator_set(made()) == 1
