"""engine.exporters.limits: what a hostile network may take."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cache.failures import Failure
from engine.backbones.request import backbone_request
from engine.exporters.backbone import export_backbone


def written(path, nodes, *, image=("N", 3, 8, 8), out=("N", 192), **constants):
    """Write a network of these nodes, from `x` to `y`."""
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def exported(folder, path, limits):
    """Return the last line of an export in a process of its own with other limits."""
    program = (
        f"import sys, engine.exporters.limits as limits; {limits}\n"
        "from engine.exporters.__main__ import main; sys.exit(main())"
    )
    arguments = ["--backbone", path, "--preprocessing", "none", "--out", folder / "out.onnx"]
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments), "--json", "--quiet"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def scalar(kind):
    return lambda name: helper.make_tensor_value_info(name, kind, [])


@pytest.mark.slow
def test_an_endless_loop_ends_with_one_line(tmp_path):
    number, truth = scalar(TensorProto.INT64), scalar(TensorProto.BOOL)
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("v", "v_out")]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Identity", ["v"], ["v_out"]),
        ],
        "body",
        [number("i"), truth("go"), values[0]],
        [truth("go_on"), values[1]],
    )
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("Loop", ["", "true", "f"], ["y"], body=body),
    ]
    path = written(tmp_path / "loop.onnx", nodes, true=np.array(True))
    line = exported(tmp_path, path, "limits.SECONDS = 6.0")
    assert line.startswith("python -m engine.exporters: ")
    assert "loop.onnx takes longer than 0 minutes to export; it may hold an endless loop" in line


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process' memory")
@pytest.mark.slow
def test_a_folded_constant_of_gigabytes_is_not_made(tmp_path):
    nodes = [
        helper.make_node("Expand", ["one", "big"], ["expanded"]),
        helper.make_node("ReduceSum", ["expanded"], ["sum"], keepdims=0),
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("Add", ["f", "sum"], ["y"]),
    ]
    big = np.array([2**31], np.int64)
    path = written(tmp_path / "big.onnx", nodes, one=np.ones(1, np.float32), big=big)
    line = exported(tmp_path, path, "limits.MEMORY = 2 * 2**30")
    assert "big.onnx cannot be run: " in line
    assert "Failed to allocate memory" in line


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"image": ("N", 3, -8, 8)}, "takes images of -8 x 8 pixels"),
        ({"image": ("N", 3, 8, 100_000)}, "takes images of 8 x 100000 pixels"),
        ({"out": ("N", -192)}, "does not say how many values"),
        ({"out": ("N", 2**25)}, "has 33554432 values an image"),
        ({"out": ("N", 191)}, "gives 192 values an image in a run, and says that they are 191"),
    ],
)
def test_sizes_that_cannot_be_are_one_line(tmp_path, sizes, message):
    path = written(tmp_path / "net.onnx", [helper.make_node("Flatten", ["x"], ["y"])], **sizes)
    asked = backbone_request(str(path), "imagenet", None, "none")
    with pytest.raises(Failure, match=message):
        export_backbone(asked, tmp_path / "out.onnx")
