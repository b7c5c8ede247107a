"""The legs of `compare`: each way timed in turns."""

import argparse
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.comparison.times import all_in_ratios, end_to_end_times, ratios, two_classes
from benchmarks.measuring.legs import Legs
from benchmarks.measuring.limit import measured_peak
from benchmarks.measuring.process import python, run
from benchmarks.product import export, extract, fit, make_ready, options_of
from engine.backbones.options import request_from
from engine.heads.split import SIDES


@dataclass(frozen=True)
class Plan:
    """What the legs of a run need.

    given: the source as it is. source: brought to the wanted number of images.
    """

    arguments: argparse.Namespace
    legs: Legs
    given: Path
    source: Path
    work: Path

    @property
    def options(self) -> list[str]:
        """The options that choose the backbone."""
        return request_from(self.arguments).options()

    def extraction(self, precision: str) -> list[str]:
        """Return the options of an extraction in a precision."""
        return options_of(precision, self.options, self.work)

    @property
    def recipe(self) -> list[str]:
        """Adam's options of `fit_head`: those of the end-to-end training."""
        given = self.arguments
        return ["--epochs", str(given.epochs), "--batch-size", str(given.batch_size)]

    def ready_for_all(self) -> None:
        """Have the fp32 model in the store of models, which is where `all in` begins."""
        self._ready("fp32")

    def available(self) -> list[str]:
        """Return the precisions that were found to be available."""
        return [
            precision
            for precision in self.arguments.precisions
            if self._ready(precision)["seconds"] is not None
        ]

    def _ready(self, precision: str) -> dict[str, Any]:
        def measure() -> dict[str, Any]:
            found = make_ready(self.given, self.work, self.options, precision)
            return found or {"seconds": None}

        return self.legs.leg(f"{precision}/ready", measure)


def measured(plan: Plan) -> dict[str, Any]:
    """Run the legs that time; return the results of `compare`, but for the agreement."""
    arguments = plan.arguments
    precisions = plan.available()
    # In turns, so that a machine that gets slower or faster meanwhile does so for both.
    turns: list[tuple[str, Callable[[], Any]]] = []
    # A quick run spares itself two starts of TensorFlow.
    groups = [",".join(SIDES)] if arguments.quick else list(SIDES)
    for number, phases in enumerate(groups):
        turns.append((f"peak/{number}", partial(_peak, arguments)))
        turns.append((f"end_to_end/{phases}", partial(_end_to_end, plan, phases)))
        if number < len(precisions):
            turns += _cached_turns(plan, precisions[-1 - number])
    turns += _all_in_turns(plan)
    turns.append((f"peak/{len(groups)}", partial(_peak, arguments)))
    found = {name: plan.legs.leg(name, measure) for name, measure in turns}
    parts = [found[f"end_to_end/{phases}"] for phases in groups]
    end_to_end = {
        **parts[0],
        "phases": {phase: entry for part in parts for phase, entry in part["phases"].items()},
        "peak_mib": max(part["peak_mib"] for part in parts),
    }
    cached = {precision: _cached_results(plan, precision) for precision in precisions}
    times = end_to_end_times(end_to_end)
    schedule = two_classes(arguments.images, arguments.epochs, arguments.batch_size)
    all_in = {name: plan.legs.leg(f"all_in/{name}", dict) for name in ("extract", "fit", "export")}
    return {
        "images": arguments.images,
        "epochs": arguments.epochs,
        "schedule": {**asdict(schedule), "backbone_passes": schedule.backbone_passes},
        "peak_gflops": [found[f"peak/{n}"]["fma"] for n in range(len(groups) + 1)],
        "end_to_end": end_to_end,
        "cached": cached,
        "ratios": {
            precision: ratios(times, runs, arguments.images, arguments.epochs)
            for precision, runs in cached.items()
        },
        "all_in": all_in,
        "all_in_ratios": all_in_ratios(times, all_in, arguments.images, arguments.epochs),
    }


def _peak(arguments: argparse.Namespace) -> dict[str, Any]:
    return dict(measured_peak(0.2 if arguments.quick else 3.0))


def _end_to_end(plan: Plan, phases: str) -> dict[str, Any]:
    arguments = plan.arguments
    done = run(
        python(
            "benchmarks.baselines.end_to_end", str(plan.source), *plan.options,
            "--steps", str(arguments.steps), "--images", str(arguments.images),
            "--epochs", str(arguments.epochs), "--batch-size", str(arguments.batch_size),
            "--phases", phases, "--results", str(plan.work / "parts"), "--json", "--quiet",
        )
    )  # fmt: skip
    return {**done.result["results"], "peak_mib": done.payload()["peak_mib"]}


def _cached_turns(plan: Plan, precision: str) -> list[tuple[str, Callable[[], Any]]]:
    cache = plan.work / precision
    turns: list[tuple[str, Callable[[], Any]]] = [
        (f"{precision}/cold", partial(_cold, plan, precision))
    ]
    for number in range(plan.arguments.repeats):
        again = partial(extract_planned, plan, precision)
        turns.append((f"{precision}/again/{number}", again))
        for solver in ("adam", "lbfgs"):
            fitted = partial(fit, cache, "--solver", solver, *plan.recipe)
            turns.append((f"{precision}/fit_{solver}/{number}", fitted))
    long = partial(fit, cache, "--solver", "adam", *plan.recipe, "--epochs", "100")
    turns.append((f"{precision}/fit_adam_100", long))
    return turns


def _all_in_turns(plan: Plan) -> list[tuple[str, Callable[[], Any]]]:
    """All that a first run does with nothing there but the exported model; and the export."""
    cache = plan.work / "all-in"

    def first() -> dict[str, Any]:
        plan.ready_for_all()
        shutil.rmtree(cache, ignore_errors=True)
        return extract(plan.source, cache, [*plan.options, "--precision", "auto"])

    return [
        ("all_in/extract", first),
        ("all_in/fit", partial(fit, cache, "--solver", "adam", *plan.recipe)),
        ("all_in/export", lambda: export(plan.work / "exported.onnx", plan.options).payload()),
    ]


def _cold(plan: Plan, precision: str) -> dict[str, Any]:
    # What an interrupted leg left would be found there.
    shutil.rmtree(plan.work / precision, ignore_errors=True)
    return {**extract_planned(plan, precision), "sampled": sampled(plan, precision)}


def sampled(plan: Plan, precision: str) -> bool:
    """Return whether a precision is extracted for some images only, and extrapolated."""
    return precision == "fp32" and plan.arguments.fp32_images is not None


def extract_planned(plan: Plan, precision: str) -> dict[str, Any]:
    """Extract the images that the plan has for a precision into its cache."""
    cache, options = plan.work / precision, plan.extraction(precision)
    if not sampled(plan, precision):
        return extract(plan.source, cache, options)
    limit = str(-(-plan.arguments.fp32_images // 2))
    return extract(plan.given, cache, options, "--limit-per-class", limit)


def _cached_results(plan: Plan, precision: str) -> dict[str, Any]:
    """Return the legs of a precision, all measured by now."""
    found = {name: plan.legs.leg(name, measure) for name, measure in _cached_turns(plan, precision)}
    repeats = range(plan.arguments.repeats)
    return {
        "ready": plan.legs.leg(f"{precision}/ready", dict),
        "cold": found[f"{precision}/cold"],
        "again": [found[f"{precision}/again/{n}"] for n in repeats],
        "fit_adam": [found[f"{precision}/fit_adam/{n}"] for n in repeats],
        "fit_lbfgs": [found[f"{precision}/fit_lbfgs/{n}"] for n in repeats],
        "fit_adam_100": found[f"{precision}/fit_adam_100"],
    }
