"""A small network of torchvision, exported as docs/backbones.md shows it, against torch's features.

python -m benchmarks.baselines.torch_export

It needs torch and torchvision, which nothing else here does: the hosted workflow has a leg for it.
"""

import importlib
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.inputs.photographs import draw
from cache.commandline.command import Console, command_parser, run_command
from cache.failures import Failure
from engine.backbones.backbone import Backbone
from engine.backbones.preprocessing import preprocessing_named
from engine.backbones.request import backbone_request
from engine.exporters.backbone import export_backbone
from engine.images.decode import decode

# The largest difference over the largest value for the same pixels; the least cosine where torch
# reads, resizes and cuts the pictures by itself.
_ALLOWED, _LEAST_COSINE = 1e-4, 0.999

_SIZE = 224


def main(argv: list[str] | None = None) -> int:
    """Compare; return an exit code, 1 if the features are not torch's."""
    parser = command_parser(
        "python -m benchmarks.baselines.torch_export",
        "Export a small network of torchvision with random weights and compare its features with "
        "torch's own: of the same pixels, and of pictures that each reads and cuts by itself.",
        "python -m benchmarks.baselines.torch_export --network resnet18",
    )
    parser.add_argument(
        "--network", default="mobilenet_v3_small", metavar="NAME", help="default: %(default)s"
    )
    return run_command(parser, _compare, argv)


def _compare(arguments: Any, console: Console) -> None:
    try:
        torch = importlib.import_module("torch")
        torchvision = importlib.import_module("torchvision")
    except ImportError as error:
        raise Failure(f"{error.name} is not installed") from error
    network = _network(torch, torchvision, arguments.network)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        backbone = _exported(torch, network, folder)
        pictures = [path.read_bytes() for path in sorted(draw(folder / "drawn", 8).rglob("*.jpg"))]
    pixels = np.stack([decode(data, (_SIZE, _SIZE), "bilinear", "center") for data in pictures])
    got = backbone.features(pixels)
    numbers = preprocessing_named("torch")
    scaled = ((pixels - np.array(numbers.mean)) / np.array(numbers.scale)).astype(np.float32)
    same = _run(torch, network, torch.from_numpy(scaled.transpose(0, 3, 1, 2).copy()))
    transform = _transform(torchvision)
    images = [transform(Image.open(io.BytesIO(data)).convert("RGB")) for data in pictures]
    read = _run(torch, network, torch.stack(images))
    difference = float(np.abs(got - same).max() / np.abs(same).max())
    lengths = np.linalg.norm(got, axis=1) * np.linalg.norm(read, axis=1)
    cosine = float(((got * read).sum(axis=1) / lengths).min())
    if difference > _ALLOWED or cosine < _LEAST_COSINE:
        raise Failure(f"not torch's features: difference {difference:.1e}, cosine {cosine:.6f}")
    console.result(
        {"network": arguments.network, "difference": difference, "cosine": cosine},
        f"{arguments.network} of torchvision {torchvision.__version__}: largest difference over "
        f"largest value {difference:.1e} for the same pixels; least cosine {cosine:.6f} where each "
        f"reads and cuts {len(pictures)} pictures by itself",
    )


def _network(torch: Any, torchvision: Any, name: str) -> Any:
    """Return a network of torchvision without its classes, its statistics those of some noise."""
    torch.manual_seed(0)
    network = getattr(torchvision.models, name)(weights=None)
    last = "fc" if hasattr(network, "fc") else "classifier"
    setattr(network, last, torch.nn.Identity())
    network.train()
    with torch.no_grad():
        for _ in range(10):
            network(torch.randn(8, 3, 96, 96))
    return network.eval()


def _exported(torch: Any, network: Any, folder: Path) -> Backbone:
    path = folder / "network.onnx"
    torch.onnx.export(
        network,
        torch.zeros(1, 3, _SIZE, _SIZE),
        str(path),
        input_names=["image"],
        output_names=["features"],
        dynamic_axes={"image": {0: "N"}, "features": {0: "N"}},
        dynamo=False,
    )
    request = backbone_request(str(path), "own", None, "torch")
    return Backbone(export_backbone(request, folder / "exported.onnx"))


def _run(torch: Any, network: Any, images: Any) -> np.ndarray:
    with torch.inference_mode():
        return np.asarray(network(images).numpy())


def _transform(torchvision: Any) -> Any:
    """What torchvision's weights were evaluated with."""
    transforms = torchvision.transforms
    normalise = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    steps = [transforms.Resize(256), transforms.CenterCrop(_SIZE), transforms.ToTensor(), normalise]
    return transforms.Compose(steps)


if __name__ == "__main__":
    sys.exit(main())
