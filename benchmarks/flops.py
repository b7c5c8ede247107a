"""How much arithmetic a backbone asks for, computed from its graph."""

import math
from pathlib import Path

import onnx


def flops_per_image(model: Path) -> int:
    """Return the FLOP of one image through an ONNX model; 1 multiply-add is 2 FLOP.

    Counted: convolutions and matrix products, whose share in all others' is below a percent.
    The int8 form of a network has as many operations as its float32 form.

    Raises:
        ValueError: a shape that the count needs is not known.
    """
    # The weights of a large network stay out of the shape inference, which copies them.
    proto = onnx.load(model)
    shapes = {entry.name: list(entry.dims) for entry in proto.graph.initializer}
    for entry in proto.graph.initializer:
        if math.prod(entry.dims) > 1024:
            proto.graph.input.append(
                onnx.helper.make_tensor_value_info(entry.name, entry.data_type, entry.dims)
            )
    kept = [entry for entry in proto.graph.initializer if math.prod(entry.dims) <= 1024]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    del proto.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(proto).graph
    for value in [*inferred.input, *inferred.value_info, *inferred.output]:
        shapes[value.name] = [d.dim_value for d in value.type.tensor_type.shape.dim]
    total = 0
    for node in inferred.node:
        if node.op_type == "Conv":
            # Each output element sums over one group's channels and the kernel.
            out, kernel = shapes[node.output[0]], shapes[node.input[1]]
            added = 2 * math.prod(out[1:]) * math.prod(kernel[1:])
        elif node.op_type in ("Gemm", "MatMul"):
            right, out = shapes[node.input[1]], shapes[node.output[0]]
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            added = 2 * math.prod(out[1:]) * right[-1 if transposed else -2]
        else:
            continue
        if not added:
            raise ValueError(f"the shapes of {node.name} are not known")
        total += added
    if not total:
        raise ValueError(f"{model.name} has no convolution and no product of a known shape")
    return total
