"""The pixel preprocessings of Keras, as numbers.

    caffe  RGB -> BGR, minus the ImageNet means (103.939, 116.779, 123.68); no division
    tf     x / 127.5 - 1
    torch  (x / 255 - mean) / std, means (0.485, 0.456, 0.406), deviations (0.229, 0.224, 0.225)
    none   the pixels 0..255 as they are
    unit   x / 255
    clip   (x / 255 - mean) / std, means (0.48145466, 0.4578275, 0.40821073), deviations
           (0.26862954, 0.26130258, 0.27577711)
    r,g,b/r,g,b      (x - mean) / std on 0..255
    bgr:b,g,r/b,g,r  the same for a network that takes BGR

Sources: `keras.applications.imagenet_utils.preprocess_input`; of `clip`, the constants that OpenAI
published with CLIP.
"""

import math
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
        "unit": Preprocessing((0.0, 0.0, 0.0), (255.0, 255.0, 255.0), False),
        "clip": Preprocessing(
            (0.48145466 * 255, 0.4578275 * 255, 0.40821073 * 255),
            (0.26862954 * 255, 0.26130258 * 255, 0.27577711 * 255),
            False,
        ),
    }
)


_BGR = "bgr:"


def preprocessing_named(name: str) -> Preprocessing:
    """Return a preprocessing by its name, or by its six numbers; UsageFailure if there is none."""
    if name in PREPROCESSINGS:
        return PREPROCESSINGS[name]
    means, slash, scales = name.removeprefix(_BGR).partition("/")
    mean, scale = _three(means), _three(scales)
    if not slash or mean is None or scale is None or 0 in scale:
        raise UsageFailure(
            f"no preprocessing {name!r}; choose from: {', '.join(PREPROCESSINGS)}, or give means "
            "and deviations on 0..255: 123.7,116.8,103.9/58.4,57.1,57.4, with bgr: before them "
            "for that order"
        )
    if name.startswith(_BGR):
        return Preprocessing(mean[::-1], scale[::-1], True)
    return Preprocessing(mean, scale, False)


def _three(text: str) -> tuple[float, float, float] | None:
    try:
        one, two, three = map(float, text.split(","))
    except ValueError:
        return None
    return (one, two, three) if math.isfinite(one + two + three) else None


def canonical_preprocessing(name: str) -> str:
    """Return the one name of a preprocessing, for a feature space is named by it; else as above."""
    numbers = preprocessing_named(name)
    if name in PREPROCESSINGS:
        return name
    if numbers.reverse_channels:
        return f"{_BGR}{_listed(numbers.mean[::-1])}/{_listed(numbers.scale[::-1])}"
    return f"{_listed(numbers.mean)}/{_listed(numbers.scale)}"


def _listed(numbers: tuple[float, ...]) -> str:
    return ",".join(f"{number:.10g}" for number in numbers)
