"""The limit that a backbone cannot pass: this machine's matrix products, and its own arithmetic.

python -m benchmarks.measuring.limit
"""

import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring.machine import environment
from benchmarks.measuring.options import benchmark_parser
from benchmarks.measuring.process import python, run
from cache.commandline.command import Console, run_command
from engine.graphs.session import available_cores

# Square matrices of this size: 64 MB each, so that the time is the arithmetic's.
_SIZE = 4096


def main(argv: list[str] | None = None) -> int:
    """Run the measurement; return its exit code."""
    parser = benchmark_parser(
        "measuring.limit",
        "Measure the float32 matrix products of NumPy and of ONNX Runtime.",
        "--json",
    )
    parser.add_argument("--seconds", type=float, default=3.0, metavar="S", help="of each; 3")
    return run_command(
        parser,
        lambda arguments, console: _peak(0.3 if arguments.quick else arguments.seconds, console),
        argv,
    )


def measured_peak(seconds: float = 3.0) -> dict[str, float]:
    """Return GFLOP/s of each library, `numpy` and `onnxruntime`, and the larger as `fma`.

    1 multiply-add is 2 FLOP. In a process of its own, with NumPy's BLAS free to choose its kernel.
    """
    command = python("benchmarks.measuring.limit", "--json", "--quiet", "--seconds", str(seconds))
    result: dict[str, float] = run(command, environment=environment()).result
    return result


def _peak(seconds: float, console: Console) -> None:
    rng = np.random.default_rng(0)
    size = _SIZE if seconds >= 1 else _SIZE // 4
    left, right = (rng.random((size, size), np.float32) for _ in range(2))
    out = np.empty_like(left)
    found: dict[str, Any] = {
        "numpy": _best(lambda: np.matmul(left, right, out=out), size, seconds),
        "onnxruntime": _best(_onnxruntime_product(left, right), size, seconds),
    }
    found["fma"] = max(found.values())
    console.result(
        found,
        f"NumPy {found['numpy']:.0f} GFLOP/s, ONNX Runtime {found['onnxruntime']:.0f} GFLOP/s",
    )


def _onnxruntime_product(left: np.ndarray, right: np.ndarray) -> Callable[[], Any]:
    """Return a function that multiplies in ONNX Runtime; the right matrix is a constant there."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    size = len(left)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["left", "right"], ["product"])],
        "product",
        [helper.make_tensor_value_info("left", TensorProto.FLOAT, [size, size])],
        [helper.make_tensor_value_info("product", TensorProto.FLOAT, [size, size])],
        [numpy_helper.from_array(right, "right")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "product.onnx"
        onnx.save(model, path)
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    return lambda: session.run(None, {"left": left})


def _best(product: Callable[[], Any], size: int, seconds: float) -> float:
    """Return the GFLOP/s of the fastest of the products that `seconds` have room for."""
    product()
    fastest = float("inf")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        product()
        fastest = min(fastest, time.perf_counter() - started)
    return 2 * size**3 / fastest / 1e9


def flops_per_image(model: Path) -> int:
    """Return the FLOP of one image through an ONNX model; 1 multiply-add is 2 FLOP.

    Counted: convolutions and matrix products, whose share in all others' is below a percent.
    The int8 form of a network has as many operations as its float32 form.

    Raises:
        ValueError: a shape that the count needs is not known.
    """
    import onnx

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


if __name__ == "__main__":
    sys.exit(main())
