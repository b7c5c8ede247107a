"""A trial run of an exported network: it gives features, and an image's hang on that image alone.

Decision 010 says what the same bits in any batch rest on. For a network from elsewhere nobody
promises it, so it is tried: what mixes its batch, ever so little, or draws random numbers would
make features of which no cache could say what they are.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime

from cache.failures import Failure, first_line
from engine.backbones.model import ModelDescription
from engine.graphs.session import session

# How the images are put together: alone twice, for what is random; then in several ways.
_ALONE = (1, 1, 1, 1, 1)
_FOREIGN = (_ALONE, _ALONE, (5,), (2, 3), (4, 1))
_KNOWN = ((2,),)


def try_out(network: str, model: Path, description: ModelDescription, *, foreign: bool) -> None:
    """Run an exported network on a few made images, black and white ones among them.

    network: its name, for messages. foreign: whether it is a user's own, whose images are run in
    several batches that must give the same bits.

    Raises:
        Failure: what it gives is of no use as features; the message says why and what to do.
    """
    pixels = _pixels(description.height, description.width)
    runner = session(model)
    results = [
        _features(network, runner, pixels[: sum(sizes)], sizes)
        for sizes in (_FOREIGN if foreign else _KNOWN)
    ]
    for features in results:
        if features.shape[1:] != (description.features,):
            raise Failure(
                f"{network} gives {features.shape[1]} values an image in a run, and says that they "
                f"are {description.features}; export it with the sizes that it has"
            )
    if not any(np.isfinite(features).all(axis=1).any() for features in results):
        raise Failure(
            f"{network} gives no finite features (NaN or infinity) for any image; "
            "look at its weights and its preprocessing"
        )
    if not any(features.any() for features in results):
        raise Failure(
            f"{network} gives nothing but zeros for any image; "
            "look at its weights and its preprocessing, or choose another layer"
        )
    if foreign and results[0].tobytes() != results[1].tobytes():
        raise Failure(
            f"{network} gives the same image other features each time: it draws random numbers; "
            "export it for inference"
        )
    for features in results:
        if features.tobytes() != results[0].tobytes():
            difference = np.nanmax(np.abs(features - results[0]), initial=0)
            raise Failure(
                f"{network} gives an image other features beside other images than alone "
                f"(by up to {difference:.1g}); export it for inference, with a free batch dimension"
            )


def _pixels(height: int, width: int) -> np.ndarray:
    """Return noise, a black and a white image: uint8 (5, height, width, 3)."""
    shape = (sum(_ALONE), height, width, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    pixels[2], pixels[3] = 0, 255
    return pixels


def _features(
    network: str,
    runner: onnxruntime.InferenceSession,
    pixels: np.ndarray,
    sizes: Sequence[int],
) -> np.ndarray:
    """Return the features of images that are run in batches of these sizes."""
    starts = np.cumsum([0, *sizes])
    try:
        batches = [
            runner.run(["features"], {"images": pixels[start:stop]})[0]
            for start, stop in pairwise(starts)
        ]
        for batch, size in zip(batches, sizes, strict=True):
            if len(batch) != size:
                raise ValueError(f"{size} images gave {len(batch)} rows of features")
    except Exception as error:  # each of ONNX Runtime's errors is an Exception of its own
        if max(sizes) == 1:
            raise Failure(f"{network} cannot be run: {first_line(error)}") from error
        raise Failure(
            f"{network} does not take any number of images at once; export it with a free batch "
            "dimension (torch.onnx.export: by dynamic_axes)"
        ) from error
    return np.concatenate(batches)
