"""The script that a user would write: a folder of photographs, `predict`, `np.save`.

python -m benchmarks.baselines.keras_script FOLDER OUT.npy --weights FILE
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.baselines.keras_network import backbone, start_keras
from engine.backbones.request import backbone_request


def main() -> None:
    """Compute the features of all images that load, and save them in one file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.baselines.keras_script")
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", default="random:0")
    arguments = parser.parse_args()

    keras = start_keras()
    model = backbone(keras, backbone_request("mobilenet_v2", arguments.weights, None, None))
    features = []
    paths = sorted(path for path in arguments.folder.rglob("*") if path.is_file())
    for start in range(0, len(paths), 32):
        loaded = (_load(keras, path) for path in paths[start : start + 32])
        images = [image for image in loaded if image is not None]
        if images:
            pixels = keras.applications.mobilenet_v2.preprocess_input(np.stack(images))
            features.append(model.predict(pixels, verbose=0))
    np.save(arguments.out, np.concatenate(features))


def _load(keras: Any, path: Path) -> np.ndarray | None:
    """Return an image's pixels, float32 (224, 224, 3); None if it is damaged."""
    try:
        image = keras.utils.load_img(path, target_size=(224, 224), interpolation="bilinear")
    except OSError:
        print(f"skipped {path.name}")
        return None
    return np.asarray(keras.utils.img_to_array(image))


if __name__ == "__main__":
    main()
