"""engine.exporters.keras_file: what of a user's `.keras` file is taken, and what is refused."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from packaging.specifiers import SpecifierSet

import engine.exporters.keras_config
import engine.exporters.keras_file
from cache.failures import Failure, UsageFailure
from engine.backbones.backbone import Backbone
from engine.backbones.request import backbone_request
from engine.exporters.backbone import export_backbone
from engine.exporters.keras_config import read_keras_config
from engine.exporters.keras_file import load_keras_file


@pytest.fixture(scope="module")
def keras():
    from engine.exporters.keras import import_keras

    return import_keras()


def changed(path, out, change):
    """Write a .keras file again with another configuration."""
    with zipfile.ZipFile(path) as sound, zipfile.ZipFile(out, "w") as other:
        for name in sound.namelist():
            data = sound.read(name)
            if name == "config.json":
                data = json.dumps(change(json.loads(data))).encode()
            other.writestr(name, data)
    return out


@pytest.fixture(scope="module")
def nested(keras, tmp_path_factory):
    """A network that has another inside it, before its classes."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    inner = keras.Sequential(
        [
            layers.Input((16, 16, 3)),
            layers.Conv2D(4, 3, name="early"),
            layers.Conv2D(5, 3, name="late"),
            layers.GlobalAveragePooling2D(name="gap"),
        ],
        name="inner",
    )
    image = layers.Input((16, 16, 3))
    scaled = layers.Rescaling(1 / 255)(image)
    network = keras.Model(image, layers.Dense(2, name="classes")(inner(scaled)), name="outer")
    path = tmp_path_factory.mktemp("nested") / "nested.keras"
    network.save(path)
    return path, inner


@pytest.mark.parametrize(("layer", "parameters"), [("early", 112), ("gap", 297), ("inner", 297)])
def test_a_layer_inside_another_network_is_a_place_to_cut(
    keras, nested, tmp_path, layer, parameters
):
    path, inner = nested
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    model = export_backbone(backbone_request(str(path), "imagenet", layer, "none"), tmp_path / "m")
    part = (
        inner if layer == "inner" else keras.Model(inner.inputs[0], inner.get_layer(layer).output)
    )
    wanted = np.asarray(part(pixels.astype(np.float32) / 255)).reshape(3, -1)
    got = Backbone(model).features(pixels)
    assert np.abs(got - wanted).max() <= 1e-5 * np.abs(wanted).max()
    assert (model.description.layer, model.description.parameters) == (layer, parameters)


KERAS = [
    *("2.15.0", "3.8.0", "3.11.3", "3.12.0", "3.12.1", "3.12.4", "3.13.0", "3.13.2", "3.14.0"),
    *("3.15.1", "4.0.0"),
]


@pytest.mark.parametrize("version", KERAS)
def test_a_keras_that_runs_what_is_in_files_loads_none(monkeypatch, tmp_path, version):
    """Just those that pyproject.toml lets in load one."""
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    declared = re.search(r'"keras([^"]*)"', project)[1]
    message = rf"Keras {version} may execute what .*: pip install 'keras{re.escape(declared)}'"
    if version in SpecifierSet(declared):
        message = "there is no backbone file"
    with pytest.raises(Failure, match=message):
        load_keras_file(tmp_path / "no.keras", None)


@pytest.mark.parametrize(
    "kind",
    [
        {"class_name": "function", "module": "keras.models", "config": "load_model"},
        {"class_name": "function", "module": "keras.utils", "config": "get_file"},
        {"class_name": "TFSMLayer", "module": "keras.layers", "config": {"name": "x"}},
        {"class_name": "Popen", "module": "subprocess", "config": {"args": ["touch"]}},
    ],
)
def test_what_is_code_or_of_elsewhere_is_refused_before_keras_sees_it(
    nested, tmp_path, monkeypatch, kind
):
    monkeypatch.setattr(engine.exporters.keras_file, "import_keras", lambda: 1 / 0)

    def hide(config):
        config["config"]["layers"][1]["config"]["deep"] = [{"inside": kind}]
        return config

    with pytest.raises(
        Failure, match=r"runs code from the file|is not Keras' own|is no layer of Keras"
    ):
        load_keras_file(changed(nested[0], tmp_path / "evil.keras", hide), None)


def test_what_trained_a_network_is_not_even_read(nested, tmp_path):
    evil = {"loss": {"class_name": "Popen", "module": "subprocess", "config": {"args": ["touch"]}}}

    def hide(config):
        config["compile_config"] = config["config"]["layers"][1]["compile_config"] = evil
        return config

    path = changed(nested[0], tmp_path / "evil.keras", hide)
    described = read_keras_config(path)
    assert b"Popen" in described.text
    with described.without_training(path) as plain:
        assert b"Popen" not in read_keras_config(plain).text
        assert zipfile.ZipFile(plain).namelist() == zipfile.ZipFile(path).namelist()
    assert not plain.exists()
    own, same = (load_keras_file(each, "gap").weights[0] for each in (nested[0], path))
    for array, other in zip(own, same, strict=True):
        np.testing.assert_array_equal(array, other)


def test_a_layer_of_another_name_is_told_with_those_of_a_like_name(nested):
    with pytest.raises(UsageFailure, match=r"has no layer 'earl'; .*of a like name: \['early'\]"):
        load_keras_file(nested[0], "earl")


def test_a_lambda_and_a_layer_of_ones_own_are_named(keras, tmp_path):
    @keras.saving.register_keras_serializable(package="mine")
    class Own(keras.layers.Layer):
        def call(self, x):
            return x

    layers = keras.layers
    for middle, message in (
        (layers.Lambda(lambda x: x, name="twice"), "a layer 'twice' of type Lambda, which runs"),
        (Own(name="first"), "a part 'first' of type mine>Own, which is not Keras' own"),
    ):
        network = keras.Sequential([layers.Input((8, 8, 3)), middle, layers.Flatten()])
        network.save(tmp_path / "x.keras")
        with pytest.raises(Failure, match=message):
            load_keras_file(tmp_path / "x.keras", None)


def test_half_precision_and_what_was_not_built_are_named(keras, tmp_path):
    layers = keras.layers
    half = layers.Conv2D(4, 3, dtype="mixed_float16")
    keras.Sequential([layers.Input((8, 8, 3)), half]).save(tmp_path / "half.keras")
    with pytest.raises(Failure, match=r"half\.keras computes in mixed_float16; save it in float32"):
        load_keras_file(tmp_path / "half.keras", None)
    with pytest.warns(UserWarning, match="not yet been built"):
        keras.Sequential([layers.Conv2D(4, 3)]).save(tmp_path / "unbuilt.keras")
    with pytest.raises(Failure, match="does not say what it takes; build it before it is saved"):
        load_keras_file(tmp_path / "unbuilt.keras", None)


@pytest.mark.parametrize("limit", ["_MAX_CONFIG", "_MAX_UNPACKED"])
def test_a_file_that_unpacks_to_too_much_is_not_unpacked(nested, monkeypatch, limit):
    monkeypatch.setattr(engine.exporters.keras_config, limit, 1000)
    with pytest.raises(Failure, match=r"loaded safely: it unpacks to \d+ bytes"):
        load_keras_file(nested[0], None)


def test_forms_that_are_not_taken_say_what_to_do(tmp_path):
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "saved_model.pb").touch()
    for name, message in (
        ("net.h5", r"keras\.models\.load_model\('net\.h5', compile=False\)\.save\('net\.keras'\)"),
        (str(saved), r"tf2onnx\.convert --saved-model .*saved --output saved\.onnx"),
        (str(saved / "saved_model.pb"), r"tf2onnx\.convert --saved-model .*saved --output"),
        ("net.pth", r"export it by torch\.onnx\.export"),
    ):
        with pytest.raises(UsageFailure, match=message):
            backbone_request(name, "imagenet", None, "none")


@pytest.mark.slow
def test_a_users_keras_json_does_not_decide(tmp_path):
    said = {"image_data_format": "channels_first", "floatx": "float16", "backend": "jax"}
    (tmp_path / "keras.json").write_text(json.dumps(said))
    program = (
        "from engine.backbones.architectures import ARCHITECTURES\n"
        "from engine.exporters.keras import build_architecture\n"
        "net = build_architecture(ARCHITECTURES['mobilenet_v2'], 'avg_pool', download=False)\n"
        "print(net.size, net.model.inputs[0].dtype, net.model.layers[1].compute_dtype)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "KERAS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.splitlines()[-1] == "(224, 224) float32 float32"
