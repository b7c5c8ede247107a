"""The legs of `compare` that begin with the exported model alone: all in, and until steady."""

import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.comparison.plan import Plan
from benchmarks.comparison.sooner import sooner
from benchmarks.comparison.times import EndToEnd
from benchmarks.product import cached_features, export, extract, fit
from cache.failures import Failure
from engine.heads.adam import Recipe
from engine.runner.survey import dataset_name

# What a first run decides by itself, or is asked for.
_ALL_IN = ("auto", "fast")


def first_turns(plan: Plan) -> list[tuple[str, Callable[[], Any]]]:
    """All that a first run does with nothing there but the exported model; and the export."""
    turns: list[tuple[str, Callable[[], Any]]] = []
    for asked in _ALL_IN:
        cache = plan.work / f"all-in-{asked}"
        turns.append((f"all_in/{asked}", partial(_first, plan, plan.source, cache, asked)))
        turns.append((f"all_in/{asked}/fit", partial(_fitted, plan, asked, cache)))
    turns.append(
        ("all_in/export", lambda: export(plan.work / "exported.onnx", plan.options).payload())
    )
    return turns


def _first(plan: Plan, source: Path, cache: Path, asked: str, *more: str) -> dict[str, Any]:
    """Extract into an empty cache; without seconds where the precision cannot be had."""
    plan.ready_for_all()
    shutil.rmtree(cache, ignore_errors=True)
    try:
        return extract(source, cache, [*plan.options, "--precision", asked], *more)
    except Failure:
        if asked == "auto":
            raise
        return {"seconds": None}


def _fitted(plan: Plan, asked: str, cache: Path) -> dict[str, Any]:
    if plan.legs.leg(f"all_in/{asked}", dict)["seconds"] is None:
        return {"seconds": None}
    return fit(cache, "--solver", "adam", *plan.recipe)


def sooner_legs(plan: Plan, times: EndToEnd) -> dict[str, Any]:
    """Extract the distinct images until the rule stops, fit, and see what that is worth."""
    cache = plan.work / "until-steady"
    legs = plan.legs
    runs = {
        "extract": legs.leg(
            "sooner/extract",
            partial(_first, plan, plan.given, cache, "auto", "--until-steady"),
        ),
        "fit": legs.leg("sooner/fit", partial(fit, cache)),
    }
    # Of the same kind as those of the timed run, but of all images.
    everything = plan.work / f"all-in-{_ALL_IN[0]}"
    extract(plan.given, everything, [*plan.options, "--precision", "auto"])
    held = cached_features(everything, dataset_name(str(plan.given)))
    recipe = Recipe(plan.arguments.epochs, plan.arguments.batch_size)
    return sooner(times, runs, held, recipe)


def all_in(found: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the legs of the precisions that could be had, by what was asked for."""
    return {
        asked: {"extract": found[f"all_in/{asked}"], "fit": found[f"all_in/{asked}/fit"]}
        for asked in _ALL_IN
        if found[f"all_in/{asked}"]["seconds"] is not None
    }
