"""What several test modules share: a small backbone, pictures, the reference data."""

import os
import signal
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def model_folder(tmp_path_factory):
    """Keep exported models of the tests away from the user's."""
    folder = tmp_path_factory.mktemp("models")
    os.environ["ONCEOVER_MODELS"] = str(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def ctrl_c():
    """Let Ctrl-C be heard, here and in children: a shell starts `pytest &` deaf to it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data():
    """The reference data beside the checkout; tests that need it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the reference data (../shared/data) is not here")
    return SHARED_DATA


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Keep a file's tests in one process: what they share, such as a network, is made once."""
    from xdist.scheduler import LoadFileScheduling

    return LoadFileScheduling(config, log)


def pytest_collection_modifyitems(items):
    """Count what reads the reference data among the slow tests: photographs, whole networks."""
    for item in items:
        if "shared_data" in item.fixturenames:
            item.add_marker(pytest.mark.slow)


def write_tiny_backbone(path: Path, seed: int = 0, features: int = 24) -> Path:
    """Write a small seeded network, float32 (N, 3, 32, 32) in, (N, features) out."""
    rng = np.random.default_rng(seed)
    kernels = [(16, 3, 3, 3), (features, 16, 3, 3)]
    weights = [
        numpy_helper.from_array(
            (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32),
            f"kernel_{position}",
        )
        for position, shape in enumerate(kernels)
    ]
    nodes = [
        helper.make_node("Conv", ["image", "kernel_0"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "kernel_1"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["pooled"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 32, 32])],
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["N", features])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory):
    return write_tiny_backbone(tmp_path_factory.mktemp("backbone") / "tiny.onnx")


def write_pictures(folder: Path, per_class: int, seed: int = 0) -> Path:
    """Write `per_class` small distinct JPEGs each of two kinds: stripes and spots."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[0:40, 0:48]
    for label in ("spots", "stripes"):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            period, phase = rng.uniform(4, 9), rng.uniform(0, 6)
            wave = np.sin(xx / period * 6 + phase)
            if label == "spots":
                wave = wave * np.sin(yy / period * 6 + phase)
            pixels = 127 + 90 * wave[..., None] + rng.normal(0, 20, (40, 48, 3))
            image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            image.save(folder / label / f"{number}.jpg", quality=90)
    return folder


@pytest.fixture
def pictures(tmp_path):
    return write_pictures(tmp_path / "pictures", 12)
