"""The pixel preprocessings of Keras, as numbers.

    caffe  RGB -> BGR, minus the ImageNet means (103.939, 116.779, 123.68); no division
    tf     x / 127.5 - 1
    torch  (x / 255 - mean) / std, means (0.485, 0.456, 0.406), deviations (0.229, 0.224, 0.225)
    none   the pixels 0..255 as they are

Source: `keras.applications.imagenet_utils.preprocess_input`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from cache.failures import UsageFailure

# The tensor of an exported graph that the preprocessing gives; quantisation looks for it.
NETWORK_INPUT = "network_input"


@dataclass(frozen=True)
class Preprocessing:
    """(x - mean) / scale per channel, in RGB order, then perhaps the channels reversed."""

    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    reverse_channels: bool


PREPROCESSINGS: Mapping[str, Preprocessing] = MappingProxyType(
    {
        "caffe": Preprocessing((123.68, 116.779, 103.939), (1.0, 1.0, 1.0), True),
        "tf": Preprocessing((127.5, 127.5, 127.5), (127.5, 127.5, 127.5), False),
        "torch": Preprocessing(
            (0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255), False
        ),
        "none": Preprocessing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), False),
    }
)


def preprocessing_named(name: str) -> Preprocessing:
    """Return a preprocessing by its name; UsageFailure if there is none of that name."""
    if name not in PREPROCESSINGS:
        raise UsageFailure(f"no preprocessing {name!r}; choose from: {', '.join(PREPROCESSINGS)}")
    return PREPROCESSINGS[name]
