"""The script that a user of scikit-learn would write: a pipeline with a PyTorch encoder, `np.save`.

python benchmarks/baselines/torch_script.py FOLDER OUT.npy

It imports nothing of this project, so that any Python with torch, torchvision and scikit-learn
runs it. MobileNetV2 of torchvision with random weights, which are as fast as others.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch  # type: ignore[import-not-found,unused-ignore]
from PIL import Image
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import make_pipeline
from torchvision.models import mobilenet_v2  # type: ignore[import-not-found,unused-ignore]


class ImageLoader(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Paths -> pixels, uint8 (224, 224, 3) each; damaged files are left out."""

    def fit(self, X: Any, y: Any = None) -> "ImageLoader":
        """Do nothing."""
        del X, y
        return self

    def transform(self, X: list[Path]) -> list[np.ndarray]:
        """Load all of them."""
        loaded = map(_load, X)
        return [image for image in loaded if image is not None]


class TorchEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Pixels -> features of MobileNetV2 after global average pooling, float32 (N, 1280)."""

    def fit(self, X: Any, y: Any = None) -> "TorchEncoder":
        """Do nothing."""
        del X, y
        return self

    def transform(self, X: list[np.ndarray]) -> np.ndarray:
        """Encode all of them, 32 at a time."""
        torch.manual_seed(0)
        network = mobilenet_v2(weights=None).eval()
        features = []
        with torch.inference_mode():
            for start in range(0, len(X), 32):
                pixels = torch.from_numpy(np.stack(X[start : start + 32])).permute(0, 3, 1, 2)
                maps = network.features(pixels.float() / 127.5 - 1)
                features.append(maps.mean((2, 3)).numpy())
        return np.concatenate(features)


def _load(path: Path) -> np.ndarray | None:
    try:
        with Image.open(path) as image:
            resized = image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
    except OSError:
        print(f"skipped {path.name}")
        return None
    return np.asarray(resized)


if __name__ == "__main__":
    paths = sorted(path for path in Path(sys.argv[1]).rglob("*") if path.is_file())
    np.save(sys.argv[2], make_pipeline(ImageLoader(), TorchEncoder()).fit_transform(paths))
