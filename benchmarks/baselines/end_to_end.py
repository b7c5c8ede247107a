"""The way people do it, in Keras: every epoch runs every image through the frozen backbone.

python -m benchmarks.baselines.end_to_end [SOURCE]
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.baselines import keras_network
from benchmarks.comparison.times import Schedule, schedule
from benchmarks.inputs.photographs import Usable, draw, usable
from benchmarks.measuring.options import (
    add_source,
    benchmark_parser,
    finish,
    names,
    numbers,
    positive,
)
from benchmarks.measuring.record import table
from cache.commandline.command import Console, run_command
from engine.backbones.options import add_backbone_options, request_from
from engine.backbones.request import BackboneRequest
from engine.heads.split import SIDES
from engine.sources.open import open_source


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; return its exit code."""
    parser = benchmark_parser(
        "baselines.end_to_end",
        "Train a softmax layer on a frozen backbone in Keras, 10 epochs of Adam, 70/15/15.",
        "PetImages.zip --weights random:0 --steps 5",
    )
    add_source(parser)
    add_backbone_options(parser)
    parser.add_argument(
        "--steps",
        type=positive,
        metavar="N",
        help="time N steps of each phase and extrapolate (default: run in full)",
    )
    parser.add_argument(
        "--images",
        type=positive,
        metavar="N",
        help="extrapolate to N images, balanced over the classes (default: those there are)",
    )
    parser.add_argument("--epochs", type=positive, default=10, metavar="N", help="default: 10")
    parser.add_argument("--batch-size", type=positive, default=128, metavar="N", help="128")
    parser.add_argument(
        "--phases",
        type=names,
        default=SIDES,
        metavar="A,B",
        help="with --steps: which phases to time (default: train,validation,test)",
    )
    parser.add_argument(
        "--seeds",
        type=numbers,
        default=(0,),
        metavar="S,S",
        help="of split, order and initial layer; a full run for each (default: 0)",
    )
    return run_command(parser, _benchmark, argv)


def _benchmark(arguments: argparse.Namespace, console: Console) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if arguments.quick:
            _make_quick(arguments, Path(folder))
        location = arguments.source or draw(Path(folder) / "drawn", arguments.images or 1000)
        enough = None
        if arguments.steps and arguments.images:
            enough = (arguments.steps + 1) * arguments.batch_size
        with open_source(location) as source:
            results = _measure(arguments, usable(source, enough), console)
    finish(arguments, console, "end_to_end", results, summary(results))


def _make_quick(arguments: argparse.Namespace, folder: Path) -> None:
    from benchmarks.inputs.synthetic import write_tiny_keras

    if arguments.backbone in (None, "vgg16"):
        write_tiny_keras(folder / "tiny.keras")
        arguments.backbone, arguments.preprocessing = str(folder / "tiny.keras"), "caffe"
    arguments.source = arguments.source or str(draw(folder / "drawn", 120, (48, 64)))
    arguments.batch_size = min(arguments.batch_size, 16)


def _measure(arguments: argparse.Namespace, images: Usable, console: Console) -> dict[str, Any]:
    request = request_from(arguments)
    keras = keras_network.start_keras(arguments.seeds[0])
    started = time.perf_counter()
    model = keras_network.end_to_end_model(keras, request, len(images.classes))
    built = time.perf_counter() - started
    counts = [int(count) for count in np.bincount(images.labels)]
    if arguments.images:
        whole, left = divmod(arguments.images, len(counts))
        counts = [whole + (number < left) for number in range(len(counts))]
    plan = schedule(counts, arguments.epochs, arguments.batch_size)
    job = _Job(keras, images, request, plan)
    results = {
        "backbone": Path(request.backbone).name,
        "parameters": model.count_params(),
        "trainable_parameters": sum(int(np.prod(w.shape)) for w in model.trainable_weights),
        "images": plan.distinct,
        "epochs": plan.epochs,
        "batch_size": plan.batch_size,
        "backbone_passes": plan.backbone_passes,
        "extrapolated": arguments.steps is not None,
        "build_seconds": round(built, 3),
    }
    if arguments.steps is None:
        runs = []
        for seed in arguments.seeds:
            console.say(f"seed {seed}: {plan.backbone_passes:,} backbone passes")
            runs.append(_full(job, seed))
        seconds = float(np.mean([entry["seconds"] for entry in runs]))
        return {**results, "seconds": seconds, "runs": runs}
    phases = {}
    for phase in arguments.phases:
        console.say(f"{phase}: {arguments.steps} steps of {plan.batch_size} images")
        phases[phase] = _timed(job, model, phase, arguments.steps)
    results["phases"] = phases
    if set(phases) == set(SIDES):
        results["seconds"] = sum(entry["seconds"] for entry in phases.values())
    return results


@dataclass(frozen=True)
class _Job:
    """What a run in Keras needs. keras: the module. plan: how many passes of what size."""

    keras: Any
    images: Usable
    request: BackboneRequest
    plan: Schedule

    def data(self, model: Any, chosen: np.ndarray, *, shuffle: bool, seed: int = 0) -> Any:
        """Return batches of the images at `chosen`, as the network takes them."""
        return keras_network.batches(
            self.keras,
            self.images,
            chosen,
            model.inputs[0].shape[1:3],
            keras_network.preprocess_function(self.keras, self.request.preprocessing or "none"),
            batch_size=self.plan.batch_size,
            shuffle=shuffle,
            seed=seed,
        )


def _full(job: _Job, seed: int) -> dict[str, Any]:
    """Train and test once, in full; return the seconds from the first batch to the test's last."""
    job.keras.utils.set_random_seed(seed)
    model = keras_network.end_to_end_model(job.keras, job.request, len(job.images.classes))
    parts = job.images.split(seed)
    train, validation, test = (
        job.data(model, parts.side(side), shuffle=side == "train", seed=seed) for side in SIDES
    )
    started = time.perf_counter()
    history = model.fit(train, validation_data=validation, epochs=job.plan.epochs, verbose=0)
    fitted = time.perf_counter()
    loss, accuracy = model.evaluate(test, verbose=0)
    ended = time.perf_counter()
    return {
        "seed": seed,
        "seconds": round(ended - started, 3),
        "fit_seconds": round(fitted - started, 3),
        "test_seconds": round(ended - fitted, 3),
        "history": {key: [float(v) for v in values] for key, values in history.history.items()},
        "test": {"loss": float(loss), "accuracy": float(accuracy)},
    }


def _timed(job: _Job, model: Any, phase: str, steps: int) -> dict[str, Any]:
    """Time steps of a phase, after one that is not counted: it traces the network.

    Images are taken again and again where the source has fewer than the steps need.
    """
    plan = job.plan
    chosen = np.resize(np.arange(len(job.images.samples)), (steps + 1) * plan.batch_size)
    data = job.data(model, chosen, shuffle=phase == "train")
    clock = keras_network.step_clock(job.keras)
    started = time.perf_counter()
    if phase == "train":
        model.fit(data, epochs=1, verbose=0, callbacks=[clock])
    else:
        model.evaluate(data, verbose=0, callbacks=[clock])
    step_seconds = np.diff(clock.ends)
    per_image = float(step_seconds.mean()) / plan.batch_size
    return {
        "passes": plan.passes(phase),
        "steps": steps,
        "step_seconds": [round(float(second), 4) for second in step_seconds],
        "first_step_seconds": round(clock.ends[0] - started, 3),
        "seconds_per_image": per_image,
        "seconds": per_image * plan.passes(phase),
        "extrapolated": True,
    }


def summary(results: dict[str, Any]) -> str:
    """Return the results as text with a Markdown table."""
    what = (
        f"{results['backbone']} in Keras: {results['parameters']:,} parameters, "
        f"{results['trainable_parameters']:,} trained; {results['images']:,} images, "
        f"{results['epochs']} epochs: {results['backbone_passes']:,} backbone passes"
    )
    lines = [what]
    if results["extrapolated"]:
        rows = [
            [
                phase,
                f"{entry['passes']:,}",
                f"{entry['steps']}",
                f"{1 / entry['seconds_per_image']:.1f}",
                f"{entry['seconds']:,.0f} (extrapolated)",
            ]
            for phase, entry in results["phases"].items()
        ]
        lines.append(table(["phase", "passes", "steps timed", "images/s", "seconds"], rows))
    else:
        rows = [
            [
                str(entry["seed"]),
                f"{entry['seconds']:,.1f}",
                f"{entry['test']['loss']:.4f}",
                f"{entry['test']['accuracy']:.4f}",
            ]
            for entry in results["runs"]
        ]
        lines.append(table(["seed", "seconds", "test loss", "test accuracy"], rows))
    if "seconds" in results:
        how = "extrapolated" if results["extrapolated"] else "measured"
        lines.append(f"end-to-end: {results['seconds']:,.1f} s, {how}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
