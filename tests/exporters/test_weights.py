import hashlib
import zipfile

import h5py
import numpy as np
import pytest
from weights_samples import write_keras3, write_legacy

from cache.failures import Failure
from engine.exporters.weights import (
    LayerShapes,
    load_weights,
    random_weights,
    weights_digest,
    with_true_variances,
)

CONV = LayerShapes("conv", "conv2d", ((3, 3, 3, 4), (4,)))
NORM = LayerShapes("norm", "batch_normalization", ((4,), (4,), (4,), (4,)))
DEPTHWISE = LayerShapes("depthwise", "depthwise_conv2d", ((3, 3, 4, 1),))
DENSE = LayerShapes("dense", "dense", ((4, 2), (2,)))
LAYERS = [CONV, NORM, DEPTHWISE, DENSE]

VGG16_CONVOLUTIONS = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]


def vgg16_layers():
    layers, channels = [], 3
    for block, (filters, convolutions) in enumerate(VGG16_CONVOLUTIONS, 1):
        for number in range(1, convolutions + 1):
            shapes = ((3, 3, channels, filters), (filters,))
            layers.append(LayerShapes(f"block{block}_conv{number}", "conv2d", shapes))
            channels = filters
    layers.append(LayerShapes("fc1", "dense", ((25088, 4096), (4096,))))
    layers.append(LayerShapes("fc2", "dense", ((4096, 4096), (4096,))))
    return layers


PREDICTIONS = LayerShapes("predictions", "dense", ((4096, 1000), (1000,)))


def arrays_for(layers, seed=1):
    rng = np.random.default_rng(seed)
    return [
        tuple(rng.random(shape, dtype=np.float32) for shape in layer.shapes) for layer in layers
    ]


def assert_same(loaded, expected):
    for layer, (got, wanted) in enumerate(zip(loaded, expected, strict=True)):
        for a, b in zip(got, wanted, strict=True):
            assert a.dtype == np.float32
            np.testing.assert_array_equal(a, b, err_msg=f"layer {layer}")


def test_reads_the_legacy_layout(tmp_path):
    weights = arrays_for(LAYERS)
    assert_same(load_weights(write_legacy(tmp_path / "w.h5", LAYERS, weights), LAYERS), weights)


def test_reads_the_legacy_layout_of_a_whole_model(tmp_path):
    weights = arrays_for(LAYERS)
    write_legacy(tmp_path / "w.h5", LAYERS, weights)
    with h5py.File(tmp_path / "w.h5") as bare, h5py.File(tmp_path / "m.h5", "w") as whole:
        bare.copy(bare, whole, "model_weights")
    assert_same(load_weights(tmp_path / "m.h5", LAYERS), weights)


@pytest.mark.parametrize("named", [True, False])
def test_reads_the_keras_3_layout(tmp_path, named):
    twice = [CONV, DENSE, LayerShapes("conv_b", "conv2d", ((1, 1, 4, 4), (4,)))]
    weights = arrays_for(twice)
    path = write_keras3(tmp_path / "m.weights.h5", twice, weights, named=named)
    assert_same(load_weights(path, twice), weights)


def test_orders_more_than_ten_unnamed_layers_by_number(tmp_path):
    layers = [LayerShapes(f"dense_at_{i}", "dense", ((2, 2),)) for i in range(12)]
    weights = arrays_for(layers)
    path = write_keras3(tmp_path / "m.weights.h5", layers, weights, named=False)
    assert_same(load_weights(path, layers), weights)


def test_reads_a_keras_archive(tmp_path):
    weights = arrays_for(LAYERS)
    write_keras3(tmp_path / "m.weights.h5", LAYERS, weights, named=True)
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.write(tmp_path / "m.weights.h5", "model.weights.h5")
    assert_same(load_weights(tmp_path / "m.keras", LAYERS), weights)


def test_the_digest_does_not_depend_on_the_file(tmp_path):
    weights = arrays_for(LAYERS)
    legacy = load_weights(write_legacy(tmp_path / "a.h5", LAYERS, weights), LAYERS)
    new = load_weights(write_keras3(tmp_path / "b.weights.h5", LAYERS, weights, named=True), LAYERS)
    assert weights_digest(LAYERS, legacy) == weights_digest(LAYERS, new)
    legacy[0][0][0, 0, 0, 0] += 1
    assert weights_digest(LAYERS, legacy) != weights_digest(LAYERS, new)


def test_names_the_first_layer_that_does_not_fit(tmp_path):
    path = write_legacy(tmp_path / "w.h5", LAYERS, arrays_for(LAYERS))
    other = [CONV, NORM, LayerShapes("depthwise", "depthwise_conv2d", ((5, 5, 4, 1),)), DENSE]
    with pytest.raises(Failure, match=r"layer depthwise has weights of shapes 3x3x4x1, .*5x5x4x1"):
        load_weights(path, other)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a readable Keras weights file"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 40, "not a readable Keras weights file"),
        (b"PK\x05\x06" + b"\0" * 18, "not a readable Keras weights file"),
    ],
)
def test_a_file_that_is_none_is_one_clear_line(tmp_path, content, message):
    (tmp_path / "w.h5").write_bytes(content)
    with pytest.raises(Failure, match=message):
        load_weights(tmp_path / "w.h5", LAYERS)


def test_a_missing_file_is_one_clear_line(tmp_path):
    with pytest.raises(Failure, match="there is no weights file"):
        load_weights(tmp_path / "none.h5", LAYERS)


def test_other_hdf5_is_refused(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["x"] = [1]
    with pytest.raises(Failure, match="not one of Keras weights"):
        load_weights(tmp_path / "w.h5", LAYERS)


def test_links_to_other_files_are_refused(tmp_path):
    secret = write_legacy(tmp_path / "secret.h5", [DENSE], arrays_for([DENSE]))
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"dense"]
        file["dense"] = h5py.ExternalLink(secret, "dense")
    with pytest.raises(Failure, match="links to other places"):
        load_weights(tmp_path / "w.h5", [DENSE])


def test_a_layer_that_is_not_there_is_no_link(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"dense"]
    with pytest.raises(Failure, match="damaged: it says that it has dense, which is not there"):
        load_weights(tmp_path / "w.h5", [DENSE])


@pytest.mark.parametrize("place", ["layers", "model_weights", "dense/in", "dense/in/k"])
def test_links_are_refused_at_every_step(tmp_path, place):
    """Also those that only opening would follow."""
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"dense"]
        file.create_group("dense").attrs["weight_names"] = [b"in/k", b"in/b"]
        file[place] = h5py.ExternalLink(str(tmp_path / "other.h5"), "x")
    with pytest.raises(Failure, match="links to other places"):
        load_weights(tmp_path / "w.h5", [DENSE])


def strange_kernel(group, kind):
    if kind == "filter":
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((4, 2))
        plist.set_filter(h5py.h5z.FILTER_LZF, h5py.h5z.FLAG_OPTIONAL)
        size = h5py.h5s.create_simple((4, 2))
        h5py.h5d.create(group.id, b"k", h5py.h5t.IEEE_F32LE, size, plist)
    elif kind == "virtual":
        layout = h5py.VirtualLayout((4, 2), "f4")
        layout[:] = h5py.VirtualSource("other.h5", "x", (4, 2), "f4")
        group.create_virtual_dataset("k", layout)
    elif kind == "reference":
        group.create_dataset("k", (4, 2), h5py.ref_dtype)
    elif kind == "texts":
        group.create_dataset("k", (4, 2), h5py.string_dtype())
    elif kind == "compound":
        group.create_dataset("k", (4, 2), [("a", "f4"), ("b", "i4")])
    elif kind == "group":
        group.create_group("k")


@pytest.mark.parametrize("kind", ["filter", "virtual", "reference", "texts", "compound", "group"])
def test_strange_storage_is_refused(tmp_path, kind):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"dense"]
        group = file.create_group("dense")
        group.attrs["weight_names"] = [b"k", b"b"]
        strange_kernel(group, kind)
        group["b"] = np.zeros(2, np.float32)
    with pytest.raises(Failure, match="which is refused"):
        load_weights(tmp_path / "w.h5", [DENSE])


def test_whole_numbers_are_weights_too(tmp_path):
    """Keras' Normalization counts in them what it was adapted to."""
    layer = LayerShapes("normalization", "normalization", ((3,), (3,), ()))
    arrays = [np.float32([1, 2, 3]), np.float32([4, 5, 6]), np.int32(7)]
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"normalization"]
        group = file.create_group("normalization")
        group.attrs["weight_names"] = [b"m", b"v", b"c"]
        for name, array in zip("mvc", arrays, strict=True):
            group[name] = array
    (loaded,) = load_weights(tmp_path / "w.h5", [layer])
    assert [each.tolist() for each in loaded] == [each.tolist() for each in arrays]


@pytest.mark.parametrize(
    ("variance", "wanted"),
    [((0.229, 0.224, 0.225), (0.0524, 0.0502, 0.0506)), ((0.05, 0.05, 0.05), (0.05, 0.05, 0.05))],
)
def test_deviations_that_stand_for_variances_are_squared(variance, wanted):
    """So it is in Keras' file of EfficientNet, which Keras rescales for when it downloads it."""
    layer = LayerShapes("normalization", "normalization", ((3,), (3,), ()))
    given = (np.float32([0.485, 0.456, 0.406]), np.float32(variance), np.float32(0))
    ((means, found, _),) = with_true_variances([layer], [given])
    np.testing.assert_allclose(found, wanted, rtol=1e-2)
    np.testing.assert_array_equal(means, given[0])
    ((same, *_),) = with_true_variances([NORM], [(given[1],) * 4])
    np.testing.assert_array_equal(same, given[1])


@pytest.mark.parametrize("names", [3, [1.5], [b"\xff"], "dense", np.zeros((2, 2)), h5py.Empty("f")])
def test_names_of_another_type_are_one_clear_line(tmp_path, names):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = names
    with pytest.raises(Failure) as failure:
        load_weights(tmp_path / "w.h5", [DENSE])
    assert "\n" not in str(failure.value)


def test_packed_weights_are_read(tmp_path):
    arrays = arrays_for([DENSE])
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"dense"]
        group = file.create_group("dense")
        group.attrs["weight_names"] = [b"k", b"b"]
        for name, array in zip("kb", arrays[0], strict=True):
            group.create_dataset(
                name, data=array, compression="gzip", shuffle=True, fletcher32=True
            )
    assert_same(load_weights(tmp_path / "w.h5", [DENSE]), arrays)


def test_external_storage_is_refused(tmp_path):
    (tmp_path / "raw").write_bytes(b"\0" * 64)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"dense"]
        group = file.create_group("dense")
        group.attrs["weight_names"] = [b"k", b"b"]
        group.create_dataset("k", (4, 2), "f4", external=[(str(tmp_path / "raw"), 0, 32)])
        group["b"] = np.zeros(2, np.float32)
    with pytest.raises(Failure, match="other files"):
        load_weights(tmp_path / "w.h5", [DENSE])


def test_the_notop_file_says_what_it_can_give(tmp_path):
    convolutions = vgg16_layers()[:-2]
    path = write_legacy(tmp_path / "notop.h5", convolutions, arrays_for(convolutions))
    assert len(load_weights(path, convolutions)) == 13
    with pytest.raises(Failure, match=r"no weights for layer fc1.*layer block5_pool"):
        load_weights(path, vgg16_layers())


@pytest.mark.slow
def test_reads_the_file_of_vgg16_that_keras_distributes(tmp_path):
    """553 MB in its exact layout, the 1,000-class layer included, which no cut needs."""
    layers = vgg16_layers()
    weights = arrays_for([*layers, PREDICTIONS])
    path = write_legacy(tmp_path / "vgg16.h5", [*layers, PREDICTIONS], weights)
    loaded = load_weights(path, layers)
    assert sum(array.size for arrays in loaded for array in arrays) == 134_260_544
    assert_same(loaded, weights[:-1])
    path.unlink()


def test_random_weights_are_the_same_everywhere():
    digest = hashlib.sha256()
    for arrays in random_weights(LAYERS, 0):
        for array in arrays:
            digest.update(array.astype("<f4").tobytes())
    assert digest.hexdigest() == "62a90fd4d4c43ceacfb1272f230209268f8bfeec49f5a4d8f7725475e3f43060"


def test_random_kernels_are_he_normal():
    wide = LayerShapes("wide", "conv2d", ((3, 3, 64, 128), (128,)))
    deep = LayerShapes("deep", "depthwise_conv2d", ((5, 5, 2000, 1),))
    (kernel, bias), (depthwise,) = random_weights([wide, deep], 3)
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 64)), rel=0.02)
    assert abs(kernel.mean()) < 0.001
    assert not bias.any()
    assert depthwise.std() == pytest.approx(np.sqrt(2 / 25), rel=0.02)


def test_random_weights_do_not_depend_on_the_cut():
    whole, part = random_weights(LAYERS, 0), random_weights(LAYERS[:2], 0)
    assert_same(whole[:2], part)
    assert not np.array_equal(random_weights(LAYERS, 1)[0][0], whole[0][0])
