"""Whether the cache holds what Keras computes: the same images through the Keras backbone.

python -m benchmarks.keras_features SOURCE --cache DIR
"""

import hashlib
import sys
from typing import Any

import numpy as np

from benchmarks.options import positive
from cache.command import Console, command_parser, run_command
from cache.store import FeatureCache
from engine.backbone_options import add_backbone_options
from engine.model_store import request_from
from engine.sources import open_source


def main(argv: list[str] | None = None) -> int:
    """Run the comparison; return its exit code."""
    parser = command_parser(
        "python -m benchmarks.keras_features",
        "Compare the features of a cache with those that Keras computes from the same images.",
        "python -m benchmarks.keras_features PetImages.zip --cache pets --json",
    )
    parser.add_argument("source", metavar="SOURCE", help="what the cache was extracted from")
    parser.add_argument("--cache", required=True, metavar="DIR", help="where the features are")
    add_backbone_options(parser)
    parser.add_argument("--images", type=positive, default=32, metavar="N", help="default: 32")
    return run_command(parser, _run, argv)


def _run(arguments: Any, console: Console) -> None:
    from benchmarks.keras_baseline import backbone, preprocess_function, read_pixels, start_keras
    from benchmarks.photographs import usable

    keras = start_keras()
    request = request_from(arguments)
    model = backbone(keras, request)
    space = FeatureCache.open(arguments.cache).space()
    with open_source(arguments.source) as source:
        images = usable(source, arguments.images)
        digests = [hashlib.sha256(source.read(sample)).digest() for sample in images.samples]
        pixels = read_pixels(images, images.samples, model.inputs[0].shape[1:3])
    kept = space.index().read(np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32))
    preprocess = preprocess_function(keras, request.preprocessing or "none")
    computed = model.predict(preprocess(pixels.astype(np.float32)), batch_size=8, verbose=0)
    computed = computed.reshape(len(computed), -1)
    lengths = np.linalg.norm(kept, axis=1) * np.linalg.norm(computed, axis=1)
    cosines = np.einsum("ij,ij->i", kept, computed) / lengths
    result = {
        "images": len(kept),
        "largest_difference": float(np.abs(kept - computed).max()),
        "largest_feature": float(np.abs(computed).max()),
        "least_cosine": float(cosines.min()),
    }
    console.result(result, f"{result}")


if __name__ == "__main__":
    sys.exit(main())
