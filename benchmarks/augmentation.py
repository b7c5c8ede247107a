"""What caching is said to forbid: training on changed copies of images; and predicting over views.

python -m benchmarks.augmentation SOURCE --backbone mobilenet_v2 --weights FILE

Six views of each image go through the backbone: the image, its mirror image, and four crops at
seeded places. Heads are trained on the image alone or on all views, and asked about the image
alone or about all views, whose probabilities are averaged. Each seed has training and test images
of its own, the same for all four ways, so that their differences are paired.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from benchmarks.inputs.photographs import Usable, draw, usable
from benchmarks.inputs.synthetic import make_tiny_job
from benchmarks.measuring.options import add_source, benchmark_parser, finish, numbers, positive
from benchmarks.measuring.record import table
from benchmarks.product import export_int8
from cache.commandline.command import Console, run_command
from engine.backbones.options import add_backbone_options, request_from
from engine.backbones.store import exported_model
from engine.graphs.session import available_cores, run_over, session
from engine.heads.l2_path import fit_regularised
from engine.heads.rows import LoadedRows
from engine.heads.softmax import log_softmax, losses
from engine.images.framing import Framing
from engine.images.views import decode_views
from engine.sources.open import open_source

# The image, its mirror image, and four crops.
VIEWS = 6

# Images whose views are in memory at once.
_TOGETHER = 64

# Whether a way trains on all views, and whether it is asked about all of them.
WAYS = {
    "trained on the images, asked about the images": (False, False),
    "trained on six views": (True, False),
    "asked about six views": (False, True),
    "both": (True, True),
}


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "augmentation",
        "Train heads on images or on six views of each, and ask them about images or about six "
        "views. The JSON is augmentation_BACKBONE.json.",
        "PetImages.zip --backbone mobilenet_v2 --weights FILE",
    )
    add_source(parser)
    add_backbone_options(parser)
    parser.add_argument("--int8", action="store_true", help="in int8 (default: fp32)")
    parser.add_argument(
        "--train", type=numbers, default=(50, 400, 2000), metavar="N,N", help="50,400,2000"
    )
    parser.add_argument("--test", type=positive, default=500, metavar="N", help="others; 500")
    parser.add_argument("--images", type=positive, metavar="N", help="of SOURCE (default: all)")
    parser.add_argument("--seeds", type=positive, default=10, metavar="N", help="default: 10")
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if arguments.quick:
            make_tiny_job(arguments, Path(folder))
            arguments.train, arguments.test, arguments.seeds = (20, 40), 20, 2
        arguments.source = arguments.source or str(draw(Path(folder) / "drawn", 1000))
        request = request_from(arguments)
        exported = exported_model(request)
        path = exported.path
        if arguments.int8:
            console.say("making the int8 form")
            path = Path(folder) / "int8.onnx"
            export_int8(arguments.source, path, request.options())
        size = (exported.description.height, exported.description.width)
        with open_source(arguments.source) as source:
            images = usable(source, arguments.images)
            console.say(f"{VIEWS} views of {len(images.samples)} images through the backbone")
            started = time.perf_counter()
            features = view_features(images, path, size)
            seconds = time.perf_counter() - started
    trial = Trial(features, images.labels, arguments.test)
    results = {
        "backbone": Path(request.backbone).stem if request.is_file else request.backbone,
        "layer": exported.description.layer,
        "precision": "int8" if arguments.int8 else "fp32",
        "dimension": features.shape[2],
        "images": len(features),
        "views": VIEWS,
        "seconds": round(seconds, 1),
        "sizes": trial.sizes(arguments.train, arguments.seeds),
    }
    finish(arguments, console, f"augmentation_{results['backbone']}", results, summary(results))


def view_features(images: Usable, model: Path, size: tuple[int, int]) -> np.ndarray:
    """Return the features of all views of all images, float32 (N, VIEWS, D)."""
    runner = session(model)
    features: list[np.ndarray] = []
    count = len(images.samples)
    with ThreadPoolExecutor(available_cores()) as pool:
        for start in range(0, count, _TOGETHER):
            chosen = range(start, min(start + _TOGETHER, count))
            pixels = np.concatenate(list(pool.map(partial(_views, images, size), chosen)))
            features += [found for (found,) in run_over(runner, pixels, ["features"])]
    joined = np.concatenate(features)
    return joined.reshape(count, VIEWS, -1)


def _views(images: Usable, size: tuple[int, int], number: int) -> np.ndarray:
    """Return the views of one image as `predict --views` has them, uint8 (VIEWS, H, W, 3)."""
    data = images.source.read(images.samples[number])
    return decode_views(data, size, Framing(), VIEWS).pixels


@dataclass(frozen=True)
class Trial:
    """Images by their views, some of which heads are tested on.

    features: float32 (N, VIEWS, D). labels: int64 (N,). tested: how many are test images.
    """

    features: np.ndarray
    labels: np.ndarray
    tested: int

    def sizes(self, counts: Sequence[int], seeds: int) -> list[dict[str, Any]]:
        """Return each way's test figures for each number of training images, seed by seed.

        A number that is larger than what the test images leave is cut to that.
        """
        rest = len(self.labels) - self.tested
        return [
            {
                "train": count,
                "ways": {
                    name: [self.figures(count, seed, way) for seed in range(seeds)]
                    for name, way in WAYS.items()
                },
            }
            for count in sorted({min(count, rest) for count in counts})
        ]

    def figures(self, count: int, seed: int, way: tuple[bool, bool]) -> dict[str, float]:
        """Train and test one head. 15 % of the training images choose its L2 strength."""
        order = balanced(self.labels, seed)
        test, chosen = order[: self.tested], order[self.tested : self.tested + count]
        held_out, train = np.split(chosen, [max(2, round(0.15 * count))])
        train_views, ask_views = (VIEWS if many else 1 for many in way)
        rows = LoadedRows(
            self.features[train, :train_views].reshape(len(train) * train_views, -1),
            self.labels[train].repeat(train_views),
        )
        watched = LoadedRows(self.features[held_out, 0], self.labels[held_out])
        head = fit_regularised(rows, watched, int(self.labels.max()) + 1)
        asked = self.features[test, :ask_views] @ head.weights + head.biases
        logs = np.stack([log_softmax(asked[:, view]) for view in range(ask_views)])
        averaged = np.log(np.exp(logs).mean(axis=0))
        return {
            "accuracy": float((averaged.argmax(axis=1) == self.labels[test]).mean()),
            "loss": float(losses(averaged, self.labels[test]).mean()),
        }


def balanced(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return all positions in a seeded order; each beginning has the classes in proportion."""
    rng = np.random.default_rng(seed)
    keys = np.empty(len(labels))
    for label in np.unique(labels):
        (there,) = np.nonzero(labels == label)
        keys[rng.permutation(there)] = (np.arange(len(there)) + rng.random()) / len(there)
    return np.argsort(keys, kind="stable")


def summary(results: dict[str, Any]) -> str:
    """Return the results as text with a Markdown table."""
    plain = next(iter(WAYS))
    rows = []
    for size in results["sizes"]:
        base = [figures["accuracy"] for figures in size["ways"][plain]]
        for name, runs in size["ways"].items():
            accuracies = [figures["accuracy"] for figures in runs]
            gains = [100 * (one - other) for one, other in zip(accuracies, base, strict=True)]
            rows.append(
                [
                    f"{size['train']:,} images, {name}",
                    f"{mean(accuracies):.4f}",
                    "-" if name == plain else f"{mean(gains):+.2f} ± {_error(gains):.2f}",
                    f"{mean(figures['loss'] for figures in runs):.4f}",
                    f"{size['train'] * (results['views'] if WAYS[name][0] else 1):,}",
                ]
            )
    seeds = len(size["ways"][plain])
    head = (
        f"{results['backbone']} at {results['layer']}, {results['precision']}, "
        f"{results['dimension']:,} floats; {seeds} seeds"
    )
    header = ["", "test accuracy", "points, paired", "log loss", "passes to train"]
    return f"{head}\n{table(header, rows)}"


def _error(values: Sequence[float]) -> float:
    """Return the standard error of a mean."""
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


if __name__ == "__main__":
    sys.exit(main())
