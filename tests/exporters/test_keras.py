"""Keras networks become ONNX files that compute what Keras does, to 1e-4, on the same pixels.

TensorFlow is imported once, in this process; VGG16 runs through Keras once.
"""

import json
import warnings
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from weights_samples import write_legacy

from cache.failures import Failure, UsageFailure
from engine import export
from engine.backbones.architectures import ARCHITECTURES
from engine.backbones.backbone import Backbone
from engine.backbones.model import METADATA_KEY
from engine.backbones.request import backbone_request
from engine.exporters import keras as keras_models
from engine.exporters import keras_file
from engine.exporters.backbone import export_backbone
from engine.exporters.keras import build_architecture
from engine.exporters.keras_file import load_keras_file
from engine.exporters.weights import load_weights, random_weights, weights_digest
from engine.graphs.files import metadata_of
from engine.graphs.model_file import data_file

pytestmark = pytest.mark.slow  # TensorFlow in each of them

MOBILENET_WEIGHTS = "mobilenet_v2_1.00_224_imagenet_notop.weights.h5"
SQUEEZENET = "squeezenet_v1_1_imagenet_notop.keras"


@pytest.fixture(scope="module")
def keras():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's own, at import
        return keras_models.import_keras()


def pixels_of(size, count=2):
    """Return smooth seeded pixels, as photographs are, uint8 (count, *size, 3)."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (count, 8, 8, 3)).astype(np.float32)
    rows, columns = (np.arange(n) * 8 // n for n in size)
    noise = rng.normal(0, 10, (count, *size, 3))
    return np.clip(coarse[:, rows][:, :, columns] + noise, 0, 255).astype(np.uint8)


def preprocessed(name, pixels):
    x = pixels.astype(np.float32)
    return {
        "caffe": x[..., ::-1] - np.float32([103.939, 116.779, 123.68]),
        "tf": x / 127.5 - 1,
        "none": x,
    }[name]


def assert_equal(features, wanted):
    """Equal to 1e-4 relative, and by no accident of zeros."""
    wanted = np.asarray(wanted).reshape(len(features), -1)
    assert features.dtype == np.float32
    assert (wanted > 0).mean() > 0.05
    np.testing.assert_allclose(features, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
    error = np.linalg.norm(features - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
    assert error.max() < 1e-4


@pytest.fixture(scope="module")
def vgg16(keras):
    """VGG16 with random:0 in Keras: what it gives at each cut for four images."""
    model = keras.applications.VGG16(weights=None)
    network = build_architecture(ARCHITECTURES["vgg16"], "fc2", download=False)
    weights = random_weights(network.layers, 0)
    for layer, arrays in zip(network.layers, weights, strict=True):
        model.get_layer(layer.name).set_weights(arrays)
    cuts = list(ARCHITECTURES["vgg16"].cuts)
    several = keras.Model(model.input, [model.get_layer(name).output for name in cuts])
    pixels = pixels_of((224, 224), 4)
    outputs = several.predict(preprocessed("caffe", pixels), verbose=0)
    digest = weights_digest(network.layers, weights)
    return pixels, dict(zip(cuts, map(np.asarray, outputs), strict=True)), digest


def test_vgg16_at_fc2_is_keras_own(vgg16, tmp_path):
    pixels, outputs, digest = vgg16
    request = backbone_request("vgg16", "random:0", None, None)
    model = export_backbone(request, tmp_path / "vgg16.onnx")
    backbone = Backbone(model)
    features = backbone.features(pixels)
    assert_equal(features, outputs["fc2"])
    alone = [backbone.features(pixels[n : n + 1]) for n in range(4)]
    np.testing.assert_array_equal(np.concatenate(alone), features)  # to the bit
    np.testing.assert_array_equal(backbone.features(pixels[:3]), features[:3])
    description = model.description
    assert description.parameters == 134_260_544
    assert (description.backbone, description.layer, description.features) == ("vgg16", "fc2", 4096)
    assert (description.preprocessing, description.weights) == ("caffe", digest)
    assert (description.height, description.width) == (224, 224)
    size = model.path.stat().st_size + data_file(model.path).stat().st_size
    assert 4 * 134_260_544 < size < 4 * 134_260_544 + 100_000
    data_file(model.path).unlink()


def test_vgg16_at_block5_pool_is_keras_own_flattened(vgg16, tmp_path):
    pixels, outputs, _ = vgg16
    assert outputs["block5_pool"].shape == (4, 7, 7, 512)
    request = backbone_request("vgg16", "random:0", "block5_pool", None)
    model = export_backbone(request, tmp_path / "vgg16.onnx")
    assert_equal(Backbone(model).features(pixels), outputs["block5_pool"])
    assert (model.description.parameters, model.description.features) == (14_714_688, 25_088)


@pytest.mark.usefixtures("keras")
def test_vgg16_at_fc1_ends_there():
    network = build_architecture(ARCHITECTURES["vgg16"], "fc1", download=False)
    assert network.layers[-1].name == "fc1"
    assert network.model.output.shape == (None, 4096)
    assert sum(np.prod(s) for entry in network.layers for s in entry.shapes) == 117_479_232


@pytest.fixture(scope="module")
def mobilenet(keras):
    """MobileNetV2 in Keras with batch normalisation that is not the identity."""
    model = keras.applications.MobileNetV2(
        weights=None, include_top=False, pooling="avg", input_shape=(224, 224, 3)
    )
    rng = np.random.default_rng(9)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.set_weights([rng.uniform(0.8, 1.2, shape) for _ in range(4)])
    return model


def save_legacy(model, path):
    layers = keras_models.network_of(model, "", "", with_weights=True)
    write_legacy(path, layers.layers, layers.weights)


@pytest.mark.parametrize("kind", [".keras", ".weights.h5", ".h5"])
def test_weights_of_each_kind_of_file_are_the_same(mobilenet, tmp_path, kind):
    path = tmp_path / f"w{kind}"
    if kind == ".keras":
        mobilenet.save(path)
    elif kind == ".weights.h5":
        mobilenet.save_weights(path)
    else:
        save_legacy(mobilenet, path)
    wanted = keras_models.network_of(mobilenet, "", "", with_weights=True).weights
    layers = build_architecture(ARCHITECTURES["mobilenet_v2"], "avg_pool", download=False).layers
    for arrays, expected in zip(load_weights(path, layers), wanted, strict=True):
        for array, other in zip(arrays, expected, strict=True):
            np.testing.assert_array_equal(array, other)


def test_mobilenet_v2_is_keras_own(mobilenet, tmp_path):
    path = tmp_path / "w.weights.h5"
    mobilenet.save_weights(path)
    request = backbone_request("mobilenet_v2", str(path), None, None)
    model = export_backbone(request, tmp_path / "m.onnx")
    pixels = pixels_of((224, 224))
    wanted = mobilenet.predict(preprocessed("tf", pixels), verbose=0)
    assert_equal(Backbone(model).features(pixels), wanted)
    assert model.description.parameters == 2_257_984
    layers = keras_models.network_of(mobilenet, "", "", with_weights=True)
    assert model.description.weights == weights_digest(layers.layers, layers.weights)
    record = json.loads(metadata_of(onnx.load(model.path))[METADATA_KEY])
    assert record["layer"] == "avg_pool"
    assert record["preprocessing"] == "tf"
    assert record["provenance"]["weights"] == path.name
    assert {"keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime"} <= set(record["provenance"])
    assert str(tmp_path) not in json.dumps(record)


def test_the_reference_weights_of_mobilenet_v2(keras, shared_data, tmp_path):
    path = shared_data / MOBILENET_WEIGHTS
    if not path.exists():
        pytest.skip(f"{MOBILENET_WEIGHTS} is not in ../shared/data")
    model = export_backbone(
        backbone_request("mobilenet_v2", str(path), None, None), tmp_path / "m.onnx"
    )
    network = keras.applications.MobileNetV2(
        weights=str(path), include_top=False, pooling="avg", input_shape=(224, 224, 3)
    )
    pixels = pixels_of((224, 224))
    wanted = network.predict(preprocessed("tf", pixels), verbose=0)
    assert_equal(Backbone(model).features(pixels), wanted)


def small_network(keras):
    """A network as people have them: rescaling, dropout, batch normalisation, a nested model."""
    inner = keras.Sequential(
        [
            keras.layers.Input((20, 24, 8)),
            keras.layers.SeparableConv2D(12, 3, padding="same"),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ],
        name="inner",
    )
    layers = keras.layers
    image = layers.Input((20, 24, 3))
    x = layers.RandomFlip()(image)
    x = layers.Rescaling(1 / 255)(x)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(x)
    x = layers.Dropout(0.5)(inner(x))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(10, activation="relu", name="dense")(x)
    return keras.Model(image, layers.Dropout(0.5)(x), name="small")


@pytest.fixture(scope="module")
def small(keras, tmp_path_factory):
    keras.utils.set_random_seed(3)
    network = small_network(keras)
    path = tmp_path_factory.mktemp("small") / "small.keras"
    network.save(path)
    return path, network


def test_a_keras_file_is_keras_own(small, tmp_path):
    path, network = small
    request = backbone_request(str(path), "imagenet", None, "none")
    model = export_backbone(request, tmp_path / "s.onnx")
    pixels = pixels_of((20, 24), 3)
    wanted = network.predict(preprocessed("none", pixels), verbose=0)
    assert_equal(Backbone(model).features(pixels), wanted)
    description = model.description
    assert (description.backbone, description.features) == ("small", 10)
    assert (description.height, description.width) == (20, 24)
    assert description.parameters == network.count_params()


def test_a_keras_file_is_cut_at_a_layer(keras, small, tmp_path):
    path, network = small
    request = backbone_request(str(path), "imagenet", "first", "tf")
    model = export_backbone(request, tmp_path / "s.onnx")
    part = keras.Model(network.input, network.get_layer("first").output)
    pixels = pixels_of((20, 24))
    wanted = part.predict(preprocessed("tf", pixels), verbose=0)
    assert_equal(Backbone(model).features(pixels), wanted)
    with pytest.raises(UsageFailure, match=r"has no layer 'fc2'; its last ones: .*'dense'"):
        load_keras_file(path, "fc2")


def test_a_keras_file_needs_its_preprocessing_before_anything_is_loaded(small, monkeypatch):
    path, _ = small

    def loaded(*_):
        raise AssertionError("loaded")

    monkeypatch.setattr(keras_file, "load_keras_file", loaded)
    with pytest.raises(UsageFailure, match="give a preprocessing: caffe, tf, torch, none, unit"):
        export_backbone(backbone_request(str(path), "imagenet", None, None), Path("x.onnx"))


def test_means_that_come_from_a_weights_file_are_those_that_count(keras):
    """Normalization keeps tensors made of its weights; EfficientNet's come with its file."""
    layers = keras.layers
    normalise = layers.Normalization()
    network = keras.Sequential([layers.Input((8, 8, 3)), normalise, layers.Conv2D(4, 3)])
    part = keras_models.network_of(network, "", "conv2d", with_weights=False)
    means, variances = np.float32([100, 120, 140]), np.float32([40, 50, 60]) ** 2
    kernel, bias = network.layers[-1].get_weights()
    graph = keras_models.trace(part, [(means, variances, np.float32(1)), (kernel, bias)])
    normalise.set_weights([means, variances, np.array(1)])
    normalise.finalize_state()
    pixels = pixels_of((8, 8)).astype(np.float32)
    session = onnxruntime.InferenceSession(graph.model.SerializeToString())
    images = {graph.image: pixels.transpose(0, 3, 1, 2)}
    got = session.run([graph.output], {**images, **graph.weights})[0]
    assert_equal(got.reshape(2, -1), network.predict(pixels, verbose=0).reshape(2, -1))


def test_networks_of_the_same_weights_and_other_structure_differ(keras, tmp_path):
    digests = []
    for activation in ("relu", "tanh"):
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, activation=activation)]
        network = keras.Sequential([*layers, keras.layers.GlobalMaxPooling2D()], name="same")
        network.save(tmp_path / f"{activation}.keras")
        loaded = load_keras_file(tmp_path / f"{activation}.keras", None)
        digests.append(weights_digest(loaded.layers, loaded.weights, loaded.structure))
    assert digests[0] != digests[1]


def test_the_squeezenet_of_the_reference_data(keras, shared_data, tmp_path):
    path = shared_data / SQUEEZENET
    if not path.exists():
        pytest.skip(f"{SQUEEZENET} is not in ../shared/data")
    request = backbone_request(str(path), "imagenet", None, "caffe")
    model = export_backbone(request, tmp_path / "s.onnx")
    assert (model.description.height, model.description.features) == (227, 512)
    pixels = pixels_of((227, 227))
    network = keras.models.load_model(path, compile=False)
    wanted = network.predict(preprocessed("caffe", pixels), verbose=0)
    assert_equal(Backbone(model).features(pixels), wanted)


@pytest.mark.usefixtures("keras")
@pytest.mark.parametrize("damage", ["no zip", "no config", "config", "weights"])
def test_a_damaged_keras_file_is_one_line(small, tmp_path, damage):
    path = tmp_path / "x.keras"
    path.write_bytes(b"not a zip")
    if damage != "no zip":
        with zipfile.ZipFile(small[0]) as sound, zipfile.ZipFile(path, "w") as damaged:
            for name in sound.namelist():
                data = sound.read(name)
                if name == "config.json" and damage == "no config":
                    continue
                if name == "config.json" and damage == "config":
                    data = b'{"class_name": "Functional", "config": {"layers": [7]}}'
                if name == "model.weights.h5" and damage == "weights":
                    data = data[:200]
                damaged.writestr(name, data)
    with pytest.raises(Failure, match=r"x\.keras is not a Keras model that can be loaded safely"):
        load_keras_file(path, None)


def test_code_in_a_keras_file_is_refused_and_not_run(keras, tmp_path):
    witness = tmp_path / "witness"
    image = keras.layers.Input((8, 8, 3))
    code = keras.layers.Lambda(
        lambda x, p=str(witness): (__import__("pathlib").Path(p).touch(), x)[1]
    )
    keras.Model(image, code(image)).save(tmp_path / "evil.keras")
    witness.unlink(missing_ok=True)
    with pytest.raises(Failure, match="of type Lambda, which runs code from the file"):
        load_keras_file(tmp_path / "evil.keras", None)
    assert not witness.exists()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((None, None, 3), "does not say the size of its images; give one"),
        ((8, 8, 1), "a backbone takes RGB images alone"),
        ((8,), "a backbone takes RGB images alone"),
    ],
)
def test_a_keras_file_that_takes_no_images_of_a_size_is_refused(keras, tmp_path, shape, message):
    image = keras.layers.Input(shape)
    keras.Model(image, keras.layers.ReLU()(image)).save(tmp_path / "x.keras")
    with pytest.raises(Failure, match=message):
        load_keras_file(tmp_path / "x.keras", None)


def test_a_keras_file_of_several_outputs_must_be_cut(keras, tmp_path):
    image = keras.layers.Input((8, 8, 3))
    outputs = [keras.layers.ReLU(name="a")(image), keras.layers.ReLU(name="b")(image)]
    keras.Model(image, outputs).save(tmp_path / "x.keras")
    with pytest.raises(UsageFailure, match="has 2 outputs; choose one as layer: a or b"):
        load_keras_file(tmp_path / "x.keras", None)
    assert load_keras_file(tmp_path / "x.keras", "b").output_layer == "b"


def test_without_network_one_line_names_the_other_ways(keras, monkeypatch, tmp_path, capfd):
    def unreachable(*_, **__):
        raise Exception("URL fetch failure on https://example.org/w.h5: None -- unreachable\nmore")

    monkeypatch.setattr(keras.src.applications.vgg16.file_utils, "get_file", unreachable)
    assert export.main(["--weights", "imagenet", "--out", str(tmp_path / "x.onnx")]) == 1
    captured = capfd.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert "could not download the ImageNet weights of vgg16 (URL fetch failure" in line
    assert "a file of them as weights" in line
    assert "weights random:SEED" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("keras")
@pytest.mark.slow
def test_a_notop_file_of_vgg16_is_averaged_before_its_top(tmp_path, capsys):
    layers = build_architecture(ARCHITECTURES["vgg16"], "block5_pool", download=False).layers
    path = write_legacy(tmp_path / "notop.h5", layers, random_weights(layers, 0))
    out = tmp_path / "x.onnx"
    assert export.main(["--weights", str(path), "--out", str(out), "--json"]) == 0
    captured = capsys.readouterr()
    assert "vgg16 to block5_pool, pooled by avg, is taken" in captured.err
    record = json.loads(captured.out)
    assert (record["layer"], record["pool"], record["features"]) == ("block5_pool", "avg", 512)
    assert export.main(["--weights", str(path), "--layer", "fc2", "--out", str(out)]) == 1
    assert "has no weights for layer fc1" in capsys.readouterr().err


@pytest.mark.usefixtures("keras")
def test_a_weights_file_of_another_shape_names_the_first_layer(mobilenet, tmp_path, capsys):
    mobilenet.save(tmp_path / "m.keras")
    arguments = ["--weights", str(tmp_path / "m.keras"), "--out", str(tmp_path / "x.onnx")]
    assert export.main(arguments) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert "layer block1_conv1" in line
