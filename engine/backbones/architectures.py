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


def _vgg(name: str, keras_name: str, convolutions: int) -> Architecture:
    """Return a VGG: `convolutions` parameters, then two fully connected layers of 4,096."""
    first = convolutions + (25_088 + 1) * 4096
    cuts = {
        "fc2": Cut(4096, first + (4096 + 1) * 4096, "fc2", any_size=False),
        "fc1": Cut(4096, first, "fc1", any_size=False),
        "block5_pool": Cut(25_088, convolutions, "block5_pool"),
    }
    return Architecture(name, keras_name, True, "caffe", (224, 224), cuts)


def _averaged(
    name: str, keras_name: str, preprocessing: str, size: int, numbers: tuple[int, int]
) -> Architecture:
    """Return a network that ends with an average over positions: features, parameters."""
    cuts = {"avg_pool": Cut(*numbers, None)}
    return Architecture(name, keras_name, False, preprocessing, (size, size), cuts)


# `none`: the preprocessing is the network's first layers.
_TABLE = (
    _vgg("vgg16", "VGG16", 14_714_688),
    _vgg("vgg19", "VGG19", 20_024_384),
    _averaged("mobilenet_v2", "MobileNetV2", "tf", 224, (1280, 2_257_984)),
    _averaged("convnext_tiny", "ConvNeXtTiny", "none", 224, (768, 27_820_128)),
    _averaged("convnext_small", "ConvNeXtSmall", "none", 224, (768, 49_454_688)),
    _averaged("convnext_base", "ConvNeXtBase", "none", 224, (1024, 87_566_464)),
    _averaged("convnext_large", "ConvNeXtLarge", "none", 224, (1536, 196_230_336)),
    _averaged("convnext_xlarge", "ConvNeXtXLarge", "none", 224, (2048, 348_147_968)),
    _averaged("densenet121", "DenseNet121", "torch", 224, (1024, 7_037_504)),
    _averaged("densenet169", "DenseNet169", "torch", 224, (1664, 12_642_880)),
    _averaged("densenet201", "DenseNet201", "torch", 224, (1920, 18_321_984)),
    _averaged("efficientnet_b0", "EfficientNetB0", "none", 224, (1280, 4_049_571)),
    _averaged("efficientnet_v2_b0", "EfficientNetV2B0", "none", 224, (1280, 5_919_312)),
    _averaged("efficientnet_b1", "EfficientNetB1", "none", 240, (1280, 6_575_239)),
    _averaged("efficientnet_v2_b1", "EfficientNetV2B1", "none", 240, (1280, 6_931_124)),
    _averaged("efficientnet_b2", "EfficientNetB2", "none", 260, (1408, 7_768_569)),
    _averaged("efficientnet_v2_b2", "EfficientNetV2B2", "none", 260, (1408, 8_769_374)),
    _averaged("efficientnet_b3", "EfficientNetB3", "none", 300, (1536, 10_783_535)),
    _averaged("efficientnet_v2_b3", "EfficientNetV2B3", "none", 300, (1536, 12_930_622)),
    _averaged("efficientnet_b4", "EfficientNetB4", "none", 380, (1792, 17_673_823)),
    _averaged("efficientnet_v2_s", "EfficientNetV2S", "none", 384, (1280, 20_331_360)),
    _averaged("efficientnet_b5", "EfficientNetB5", "none", 456, (2048, 28_513_527)),
    _averaged("efficientnet_b6", "EfficientNetB6", "none", 528, (2304, 40_960_143)),
    _averaged("efficientnet_v2_m", "EfficientNetV2M", "none", 480, (1280, 53_150_388)),
    _averaged("efficientnet_b7", "EfficientNetB7", "none", 600, (2560, 64_097_687)),
    _averaged("efficientnet_v2_l", "EfficientNetV2L", "none", 480, (1280, 117_746_848)),
    _averaged("inception_v3", "InceptionV3", "tf", 299, (2048, 21_802_784)),
    _averaged("inception_resnet_v2", "InceptionResNetV2", "tf", 299, (1536, 54_336_736)),
    _averaged("mobilenet_v3_small", "MobileNetV3Small", "none", 224, (576, 939_120)),
    _averaged("mobilenet_v3_large", "MobileNetV3Large", "none", 224, (960, 2_996_352)),
    _averaged("mobilenet", "MobileNet", "tf", 224, (1024, 3_228_864)),
    _averaged("nasnet_mobile", "NASNetMobile", "tf", 224, (1056, 4_269_716)),
    _averaged("nasnet_large", "NASNetLarge", "tf", 331, (4032, 84_916_818)),
    _averaged("resnet101_v2", "ResNet101V2", "tf", 224, (2048, 42_626_560)),
    _averaged("resnet101", "ResNet101", "caffe", 224, (2048, 42_658_176)),
    _averaged("resnet152_v2", "ResNet152V2", "tf", 224, (2048, 58_331_648)),
    _averaged("resnet152", "ResNet152", "caffe", 224, (2048, 58_370_944)),
    _averaged("resnet50_v2", "ResNet50V2", "tf", 224, (2048, 23_564_800)),
    _averaged("resnet50", "ResNet50", "caffe", 224, (2048, 23_587_712)),
    _averaged("xception", "Xception", "tf", 299, (2048, 20_861_480)),
)

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType({a.name: a for a in _TABLE})
