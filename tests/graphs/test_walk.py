"""Ways through the nodes of an ONNX graph."""

import onnx
from int8_samples import kernel, model, node

from engine.backbones.preprocessing import NETWORK_INPUT
from engine.graphs.walk import (
    attributes,
    constants,
    consumers,
    needed,
    operator_set,
    replace_nodes,
)


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


def test_constants_go_by_name_and_are_the_graph_s_own():
    nodes = [node("Add", f"{NETWORK_INPUT} k", "features")]
    made = model(nodes, {"k": kernel(1)}, "features", "none")
    constants(made.graph)["k"].doc_string = "seen"
    assert [(c.name, c.doc_string) for c in made.graph.initializer] == [("k", "seen")]


def test_attributes_are_values_by_name():
    conv = node("Conv", "x k", "y", pads=[1, 0, 1, 0], auto_pad="NOTSET", group=2)
    assert attributes(conv) == {"pads": [1, 0, 1, 0], "auto_pad": b"NOTSET", "group": 2}
    assert attributes(node("Relu", "x", "y")) == {}


def test_nodes_are_replaced_by_some_of_the_graph_s_own_and_others():
    nodes = [node("Relu", NETWORK_INPUT, "a"), node("Relu", "a", "features")]
    made = model(nodes, {}, "features", "none")
    made.graph.value_info.append(onnx.helper.make_tensor_value_info("a", 1, None))
    replace_nodes(made.graph, (node("Neg", "images", "a"), made.graph.node[-1]))
    assert [n.op_type for n in made.graph.node] == ["Neg", "Relu"]
    assert not made.graph.value_info
