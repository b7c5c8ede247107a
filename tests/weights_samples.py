"""Weights files in the layouts that Keras has written, made by hand."""

import h5py
import numpy as np


def write_legacy(path, layers, weights, extra_names=("input_1", "block1_pool", "flatten")):
    """The layout of `vgg16_weights_tf_dim_ordering_tf_kernels.h5`, weightless layers included."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [n.encode() for n in [*extra_names, *(x.name for x in layers)]]
        for name in extra_names:
            file.create_group(name).attrs["weight_names"] = np.array([], "S1")
        for layer, arrays in zip(layers, weights, strict=True):
            group = file.create_group(layer.name)
            names = [f"{layer.name}_{kind}_1:0" for kind in ("W", "b", "c", "d")[: len(arrays)]]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, array in zip(names, arrays, strict=True):
                group[name] = array
    return path


def write_keras3(path, layers, weights, *, named):
    """The layout of Keras 3's `save_weights`: groups numbered by class."""
    counts = {}
    with h5py.File(path, "w") as file:
        for layer, arrays in zip(layers, weights, strict=True):
            number = counts.get(layer.kind, 0)
            counts[layer.kind] = number + 1
            key = f"{layer.kind}_{number}" if number else layer.kind
            variables = file.create_group(f"layers/{key}/vars")
            if named:
                variables.attrs["name"] = layer.name
            for position, array in enumerate(arrays):
                variables[str(position)] = array
    return path
