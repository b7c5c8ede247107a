"""The legs of `compare`: each way timed in turns."""

import argparse
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from benchmarks.comparison.first_runs import all_in, first_turns, sooner_legs
from benchmarks.comparison.plan import Plan, extract_planned, sampled
from benchmarks.comparison.times import all_in_ratios, end_to_end_times, ratios, two_classes
from benchmarks.measuring.limit import measured_peak
from benchmarks.measuring.process import python, run
from benchmarks.product import fit

# The phases of end-to-end that are timed, each in a turn. A test runs as a validation does.
_TIMED = ("train", "validation")


def measured(plan: Plan) -> dict[str, Any]:
    """Run the legs that time; return the results of `compare`, but for the agreement."""
    arguments = plan.arguments
    precisions = plan.available()
    # In turns, so that a machine that gets slower or faster meanwhile does so for both.
    turns: list[tuple[str, Callable[[], Any]]] = []
    # A quick run spares itself a start of TensorFlow.
    groups = [",".join(_TIMED)] if arguments.quick else list(_TIMED)
    for number, phases in enumerate(groups):
        turns.append((f"peak/{number}", partial(_peak, arguments)))
        turns.append((f"end_to_end/{phases}", partial(_end_to_end, plan, phases)))
        if number < len(precisions):
            turns += _cached_turns(plan, precisions[-1 - number])
    turns += first_turns(plan)
    turns.append((f"peak/{len(groups)}", partial(_peak, arguments)))
    found = {name: plan.legs.leg(name, measure) for name, measure in turns}
    schedule = two_classes(arguments.images, arguments.epochs, arguments.batch_size)
    parts = [found[f"end_to_end/{phases}"] for phases in groups]
    end_to_end = _with_test(parts, schedule.passes("test"))
    cached = {precision: _cached_results(plan, precision) for precision in precisions}
    times = end_to_end_times(end_to_end)
    export = found["all_in/export"]
    firsts = all_in(found)
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
        "export": export,
        "all_in": firsts,
        "all_in_ratios": {
            asked: all_in_ratios(times, runs, export, schedule) for asked, runs in firsts.items()
        },
        "sooner": sooner_legs(plan, times),
    }


def _with_test(parts: Sequence[dict[str, Any]], passes: int) -> dict[str, Any]:
    """Join the timed phases of end-to-end, and add the test, which runs as validation does."""
    phases = {phase: entry for part in parts for phase, entry in part["phases"].items()}
    per_image = phases["validation"]["seconds_per_image"]
    phases["test"] = {
        **phases["validation"], "passes": passes, "seconds": per_image * passes,
        "as": "validation",
    }  # fmt: skip
    return {**parts[0], "phases": phases, "peak_mib": max(part["peak_mib"] for part in parts)}


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
            recipe = plan.recipe if solver == "adam" else []
            fitted = partial(fit, cache, "--solver", solver, *recipe)
            turns.append((f"{precision}/fit_{solver}/{number}", fitted))
    long = partial(fit, cache, "--solver", "adam", *plan.recipe, "--epochs", "100")
    turns.append((f"{precision}/fit_adam_100", long))
    return turns


def _cold(plan: Plan, precision: str) -> dict[str, Any]:
    # What an interrupted leg left would be found there.
    shutil.rmtree(plan.work / precision, ignore_errors=True)
    return {**extract_planned(plan, precision), "sampled": sampled(plan, precision)}


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
