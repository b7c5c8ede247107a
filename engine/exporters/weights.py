"""The weights of a backbone: read from the files people have, or drawn from a seed.

Reads, without TensorFlow and without running anything out of the file:
    .h5          the layout that Keras distributes (`VGG16` with or without its top)
    .weights.h5  what Keras 3's `save_weights` writes
    .keras       a Keras 3 archive, which holds a `.weights.h5`
"""

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from cache.commandline.printable import printable
from cache.failures import Failure, first_line

Arrays = tuple[np.ndarray, ...]

# A layer's group may be one of these inside a Keras 3 file: `dense`, `dense_1`, ...
_NUMBERED = re.compile(r"(?P<kind>.+?)(?:_(?P<number>\d+))?$")

# HDF5's own filters: deflate, shuffle, Fletcher-32. Another one would load a plug-in.
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}

# Layers that start as the identity, and the values of their weights then.
_IDENTITIES: Mapping[str, tuple[float, ...]] = {
    "batch_normalization": (1.0, 0.0, 0.0, 1.0),  # gamma, beta, mean, variance
    "layer_normalization": (1.0, 0.0),  # gamma, beta
    "normalization": (0.0, 1.0, 0.0),  # mean, variance, count
    "layer_scale": (1.0,),
}

# Weights of normalisations inside a network that counts as one layer, by their names in Keras.
_ONES = frozenset({"gamma", "moving_variance", "variance"})

# ImageNet's deviations, of values from 0 to 1.
_DEVIATIONS = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class LayerShapes:
    """What a layer wants: its name, Keras class in snake case, weights' shapes and names."""

    name: str
    kind: str
    shapes: tuple[tuple[int, ...], ...]
    names: tuple[str, ...] = ()


def random_weights(layers: Sequence[LayerShapes], seed: int) -> list[Arrays]:
    """Return He-normal kernels (He et al. 2015: deviation sqrt(2 / fan_in)), zero biases.

    Drawn from NumPy's PCG64 by seed, layer name and position, so that a layer's weights do not
    depend on where the network is cut. Batch normalisation starts as the identity. float32.
    """
    return [_random_layer(layer, seed) for layer in layers]


def _random_layer(layer: LayerShapes, seed: int) -> Arrays:
    if layer.kind in _IDENTITIES:
        # Without a scale, or an offset, a normalisation has its last weights alone.
        values = _IDENTITIES[layer.kind]
        return tuple(
            np.full(shape, value, np.float32)
            for shape, value in zip(layer.shapes, values[-len(layer.shapes) :], strict=True)
        )
    arrays = []
    for position, shape in enumerate(layer.shapes):
        if len(shape) < 2:
            inner = layer.names[position] if layer.names else ""
            arrays.append(np.full(shape, 1 if inner in _ONES else 0, np.float32))
            continue
        name = int.from_bytes(hashlib.sha256(layer.name.encode()).digest()[:8], "little")
        generator = np.random.default_rng([seed, name, position])
        kernel = generator.standard_normal(shape, dtype=np.float32)
        # A depthwise kernel (height, width, channels, 1) sees one channel only.
        fan_in = np.prod(shape[:2] if layer.kind == "depthwise_conv2d" else shape[:-1])
        kernel *= np.float32(np.sqrt(2.0 / fan_in))
        arrays.append(kernel)
    return tuple(arrays)


def load_weights(path: Path, layers: Sequence[LayerShapes]) -> list[Arrays]:
    """Return the weights in `path` for each of `layers`, float32, in the layers' order.

    Layers of the file that the network does not have (VGG16's 1,000-class layer) are left alone.

    Raises:
        Failure: the file is not of a known layout, lacks a layer or holds one of another shape;
            the message names the first such layer.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as member:
                return _load_hdf5(path, h5py.File(member, "r"), layers)
        with h5py.File(path, "r") as file:
            return _load_hdf5(path, file, layers)
    except FileNotFoundError:
        raise Failure(f"there is no weights file {path}") from None
    except (OSError, LookupError, ValueError, TypeError, RuntimeError) as error:
        raise Failure(
            f"{path} is not a readable Keras weights file ({first_line(error)})"
        ) from error
    except (AttributeError, NotImplementedError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise Failure(
            f"{path} is not a readable Keras weights file ({first_line(error)})"
        ) from error


def _load_hdf5(path: Path, file: h5py.File, layers: Sequence[LayerShapes]) -> list[Arrays]:
    if "layers" in file:
        stored = _keras3_layers(_inside(file, "layers"), layers)
    else:
        root = _inside(file, "model_weights") if "model_weights" in file else file
        if "layer_names" not in root.attrs:
            raise Failure(f"{path} is an HDF5 file, but not one of Keras weights")
        stored = _legacy_layers(root)
    return [_fitting(path, layer, stored) for layer in layers]


def with_true_variances(layers: Sequence[LayerShapes], weights: list[Arrays]) -> list[Arrays]:
    """Return weights of a named network in which no deviations stand for variances.

    Keras' file of EfficientNet has ImageNet's deviations where Normalization wants variances. Where
    Keras downloads it, it makes good for that by a further layer; of a file, nobody does
    (https://github.com/tensorflow/tensorflow/issues/49930).
    """
    return [
        (arrays[0], arrays[1] ** 2, *arrays[2:])
        if layer.kind == "normalization" and np.allclose(arrays[1], _DEVIATIONS, atol=1e-4)
        else arrays
        for layer, arrays in zip(layers, weights, strict=True)
    ]


def _fitting(path: Path, layer: LayerShapes, stored: Mapping[str, list[h5py.Dataset]]) -> Arrays:
    datasets = stored.get(layer.name)
    if datasets is None:
        raise Failure(f"{path} has no weights for layer {layer.name}{_notop_advice(layer.name)}")
    for dataset in datasets:
        _refuse_strange(path, dataset)
    shapes = tuple(dataset.shape for dataset in datasets)
    if shapes != layer.shapes:
        raise Failure(
            f"{path} does not fit: layer {layer.name} has weights of shapes "
            f"{_listed(shapes)}, the network wants {_listed(layer.shapes)}"
        )
    return tuple(np.asarray(dataset[()], np.float32) for dataset in datasets)


def _refuse_strange(path: Path, dataset: h5py.Dataset) -> None:
    """Raise Failure for what would read other files, or is decoded by code that is not HDF5's."""
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "fiu":
        raise Failure(f"{path} keeps weights that are not plain numbers, which is refused")
    if dataset.external or dataset.is_virtual:
        raise Failure(f"{path} keeps weights in other files, which is refused")
    plist = dataset.id.get_create_plist()
    filters = {plist.get_filter(number)[0] for number in range(plist.get_nfilters())}
    if not filters <= _FILTERS:
        raise Failure(f"{path} packs weights by filters that are no part of HDF5, which is refused")


def _notop_advice(layer: str) -> str:
    if layer in ("fc1", "fc2"):
        return "; a file without VGG16's top (notop) can give layer block5_pool"
    return ""


def _listed(shapes: Iterable[tuple[int, ...]]) -> str:
    return ", ".join("x".join(map(str, shape)) or "scalar" for shape in shapes) or "none"


def _legacy_layers(root: h5py.Group) -> dict[str, list[h5py.Dataset]]:
    """Map each layer's name to its datasets: attribute `layer_names`, then `weight_names`."""
    layers = {}
    for name in map(_text, root.attrs["layer_names"]):
        group = _inside(root, name)
        datasets = [_inside(group, _text(weight)) for weight in group.attrs["weight_names"]]
        if datasets:
            layers[name] = datasets
    return layers


def _keras3_layers(
    root: h5py.Group, wanted: Sequence[LayerShapes]
) -> dict[str, list[h5py.Dataset]]:
    """Map each layer's name to its datasets under `layers/<class>_<n>/vars/<i>`.

    Newer files note the layer's name beside them; in others the n-th layer of a class is meant.
    """
    layers: dict[str, list[h5py.Dataset]] = {}
    unnamed: dict[str, list[tuple[int, list[h5py.Dataset]]]] = {}
    for key in root:
        group = _inside(root, key)
        if "vars" not in group or not len(variables := _inside(group, "vars")):
            continue
        datasets = [_inside(variables, str(position)) for position in range(len(variables))]
        if "name" in variables.attrs:
            layers[_text(variables.attrs["name"])] = datasets
        elif matched := _NUMBERED.match(key):
            number = int(matched["number"] or 0)
            unnamed.setdefault(matched["kind"], []).append((number, datasets))
    for kind, numbered in unnamed.items():
        names = [layer.name for layer in wanted if layer.kind == kind]
        ordered = [datasets for _, datasets in sorted(numbered, key=lambda entry: entry[0])]
        layers.update(zip(names, ordered, strict=False))
    return layers


def _inside(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    """Return a member of `group` that lies in the same file, each step of the way to it too."""
    found = group
    for part in name.split("/"):
        if part not in list(found):
            raise Failure(
                f"the weights file is damaged: it says that it has {printable(name, 80)}, which is "
                "not there; get it again"
            )
        if not isinstance(found.get(part, getlink=True), h5py.HardLink):
            raise Failure("the weights file links to other places, which is refused")
        found = found[part]
    return found


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def weights_digest(
    layers: Sequence[LayerShapes], weights: Sequence[Arrays], structure: str = ""
) -> str:
    """Return the SHA-256 of the weights: names, shapes and little-endian float32 values.

    The same for the same weights in whatever file they came. `structure` goes before them: the
    digest of a network that no name tells from others.
    """
    digest = hashlib.sha256(structure.encode())
    for layer, arrays in zip(layers, weights, strict=True):
        for position, array in enumerate(arrays):
            digest.update(f"{layer.name}/{position} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array, "<f4").data)
    return digest.hexdigest()
