"""What a run of `compare` measures, on what, and where it keeps it."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring.legs import Legs
from benchmarks.product import extract, make_ready, options_of
from engine.backbones.options import request_from


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
