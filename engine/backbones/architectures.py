"""The backbones that go by a name. A further one is a line in the table."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from cache.failures import UsageFailure


@dataclass(frozen=True)
class Cut:
    """A place where a network can be cut.

    features: floats per image there, spatial maps flattened in (height, width, channel) order.
    parameters: frozen parameters up to there, asserted at export.
    keras_layer: the layer's name in Keras; None for the network's own output.
    any_size: whether images may have another size than the network's.
    """

    features: int
    parameters: int
    keras_layer: str | None
    any_size: bool = True


@dataclass(frozen=True)
class Architecture:
    """A network of `keras.applications`.

    keras_name: its constructor there.
    with_top: whether its fully connected layers are needed for some cut.
    preprocessing: the one its ImageNet weights were trained with, by its name in
        `engine.backbones.preprocessing`.
    size: (height, width) of its input.
    cuts: where it may be cut, by the name `--layer` takes; the first is the default.
    """

    name: str
    keras_name: str
    with_top: bool
    preprocessing: str
    size: tuple[int, int]
    cuts: Mapping[str, Cut]

    def cut(self, layer: str | None) -> tuple[str, Cut]:
        """Return the name and cut of `layer`, or of the default one; UsageFailure if unknown."""
        name = layer or next(iter(self.cuts))
        if name not in self.cuts:
            known = ", ".join(self.cuts)
            raise UsageFailure(f"{self.name} has no layer {name!r} to cut at; choose from: {known}")
        return name, self.cuts[name]


_TABLE = (
    Architecture(
        "vgg16", "VGG16", True, "caffe", (224, 224),
        {
            "fc2": Cut(4096, 134_260_544, "fc2", False),
            "fc1": Cut(4096, 117_479_232, "fc1", False),
            "block5_pool": Cut(25_088, 14_714_688, "block5_pool"),
        },
    ),
    Architecture(
        "mobilenet_v2", "MobileNetV2", False, "tf", (224, 224),
        {"avg_pool": Cut(1280, 2_257_984, None)},
    ),
)  # fmt: skip

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType({a.name: a for a in _TABLE})
