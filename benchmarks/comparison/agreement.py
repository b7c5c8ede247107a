"""Whether two ways of training the same layer agree: test accuracies within noise over seeds."""

import math
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.comparison.plan import Plan, sampled
from benchmarks.measuring.process import python, run
from benchmarks.product import extract, fit, make_ready
from engine.backbones.request import backbone_request
from engine.runner.survey import dataset_name

# Standard errors that the difference of two means may come to.
_ERRORS = 2.0


def compared(first: Sequence[float], second: Sequence[float], images: int) -> dict[str, Any]:
    """Compare test accuracies of two ways, seed by seed on the same splits.

    images: tested for each seed. The noise is the larger of two standard errors of the mean
    difference: that of two independent binomial shares of all images tested, at the pooled
    accuracy, and that which the differences of the seeds themselves show.
    """
    pooled = (sum(first) + sum(second)) / (len(first) + len(second))
    tested = images * len(first)
    noise = math.sqrt(2 * max(pooled * (1 - pooled), 1 / tested) / tested)
    differences = [a - b for a, b in zip(first, second, strict=True)]
    if len(differences) > 1:
        noise = max(noise, stdev(differences) / math.sqrt(len(differences)))
    difference = mean(differences)
    return {
        "first": list(first),
        "second": list(second),
        "images": images,
        "mean_difference": difference,
        "standard_error": noise,
        "agree": abs(difference) <= _ERRORS * noise,
    }


def agreement(plan: Plan, precisions: list[str]) -> dict[str, Any]:
    """Return whether features and accuracies of the two ways are the same."""
    found: dict[str, Any] = {}
    for precision in precisions[:1] if plan.arguments.quick else precisions:
        found[precision] = plan.legs.leg(
            f"agreement/{precision}", partial(_checked, plan, precision)
        )
    if plan.arguments.real_backbone:
        found["end_to_end"] = plan.legs.leg("agreement/end_to_end", partial(_whole, plan))
    return found


def _checked(plan: Plan, precision: str) -> dict[str, Any]:
    """Let Keras compute some of the features, and train the layer on those of the cache."""
    cache = plan.work / precision
    # The source's own images are in the cache already, unless it holds a sample of them.
    if not sampled(plan, precision):
        extract(plan.given, cache, plan.extraction(precision))
    seeds = ",".join(map(str, plan.arguments.seeds))
    images = "8" if plan.arguments.quick else "32"
    dataset = dataset_name(str(plan.given))
    done = run(
        python(
            "benchmarks.baselines.same_features", "check", "--source", str(plan.given),
            "--cache", str(cache), *plan.options,
            *plan.recipe, "--images", images, "--seeds", seeds, "--json",
        )
    )  # fmt: skip
    first = [entry["test"]["accuracy"] for entry in done.result["runs"]]
    return {
        "features": done.result["features"],
        **_against_fits(first, plan, cache, "--dataset", dataset),
    }


def _whole(plan: Plan) -> dict[str, Any]:
    """Run both ways in full on the backbone with trained weights."""
    arguments = plan.arguments
    request = backbone_request(
        arguments.real_backbone, arguments.real_weights, None, arguments.real_preprocessing
    )
    done = run(
        python(
            "benchmarks.baselines.end_to_end", str(plan.given), *request.options(),
            *plan.recipe, "--seeds", ",".join(map(str, arguments.seeds)),
            "--results", str(plan.work / "parts"), "--json", "--quiet",
        )
    )  # fmt: skip
    runs = done.result["results"]["runs"]
    cache = plan.work / "real"
    shutil.rmtree(cache, ignore_errors=True)
    make_ready(plan.given, plan.work, request.options(), "fp32")
    cold = extract(plan.given, cache, [*request.options(), "--precision", "fp32"])
    first = [entry["test"]["accuracy"] for entry in runs]
    return {
        "backbone": Path(arguments.real_backbone).name,
        "end_to_end_seconds": [entry["seconds"] for entry in runs],
        "cold_seconds": cold["seconds"],
        **_against_fits(first, plan, cache),
    }


def _against_fits(first: list[float], plan: Plan, cache: Path, *options: str) -> dict[str, Any]:
    fits = [
        fit(cache, "--solver", "adam", "--seed", str(seed), *plan.recipe, *options)
        for seed in plan.arguments.seeds
    ]
    second = [entry["report"]["test"]["accuracy"] for entry in fits]
    return {
        "fit_seconds": [entry["seconds"] for entry in fits],
        **compared(first, second, fits[0]["report"]["split"]["test"]),
    }
