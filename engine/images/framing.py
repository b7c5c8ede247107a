"""How a picture becomes the backbone's size: by which interpolation, squashed or its centre.

`center` is what torchvision's `Resize(256)` and `CenterCrop(224)` do to an evaluated image: the
short side to the size over 0.875, the aspect kept, then the middle.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cache.failures import UsageFailure
from engine.images.formats import INTERPOLATIONS

# The first is the default: the whole picture, its aspect not kept.
CROPS = ("squash", "center")

# The share of the short side that a centre crop keeps.
_KEPT = 0.875


@dataclass(frozen=True)
class Framing:
    """How pictures are resized, part of the feature space. UsageFailure for what there is not.

    interpolation: one of INTERPOLATIONS. crop: one of CROPS.
    """

    interpolation: str = "bilinear"
    crop: str = "squash"

    def __post_init__(self) -> None:
        for name, known in (("interpolation", INTERPOLATIONS), ("crop", CROPS)):
            value = getattr(self, name)
            if value not in known:
                raise UsageFailure(f"{name} {value}: choose from {', '.join(known)}")

    @property
    def identity(self) -> dict[str, Any]:
        """What of it is part of a feature space; spaces that squash are older than crops."""
        crop = {} if self.crop == CROPS[0] else {"crop": self.crop}
        return {"interpolation": self.interpolation, **crop}

    @classmethod
    def of(cls, description: Mapping[str, Any]) -> "Framing":
        """Return the framing of a feature space. UsageFailure where it says none of ours."""
        crop = description.get("crop", CROPS[0])
        return cls(str(description.get("interpolation")), str(crop))


SQUASHED = Framing()


def resized(picture: tuple[int, int], size: tuple[int, int], crop: str) -> tuple[int, int]:
    """Return the (height, width) to which a picture is resized before it is cut to `size`.

    Rounded as torchvision rounds: 256 for the short side where the size is 224, the long one down.
    """
    if crop == CROPS[0]:
        return size
    short = [int(side / _KEPT) for side in size]
    # The side that needs the larger scale is exact; of a square size it is the picture's short one.
    exact = 0 if short[0] * picture[1] >= short[1] * picture[0] else 1
    scaled = list(short)
    other = 1 - exact
    scaled[other] = max(int(short[exact] * picture[other] / picture[exact]), size[other])
    return scaled[0], scaled[1]


def cut_box(
    picture: tuple[int, int], size: tuple[int, int], whole: tuple[int, int]
) -> tuple[float, float, float, float]:
    """Return what part of a picture becomes `size`: left, top, right, bottom, in its own pixels.

    A resize of that part gives what cutting the resized picture gives, and needs no memory for the
    rest, of which a panorama has much.

    picture: its (height, width) as it is held. whole: what it would be resized to, see `resized`.
    """
    top, left = (round((side - cut) / 2) for side, cut in zip(whole, size, strict=True))
    down, across = picture[0] / whole[0], picture[1] / whole[1]
    return (
        left * across,
        top * down,
        min((left + size[1]) * across, picture[1]),
        min((top + size[0]) * down, picture[0]),
    )
