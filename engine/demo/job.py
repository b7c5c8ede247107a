"""The job of `python -m engine.demo`: draw, extract twice, fit, and compare."""

import contextlib
import logging
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.commandline.words import counted
from cache.failures import Interrupted
from cache.store import FeatureCache
from engine.backbones.request import BackboneRequest, backbone_request
from engine.backbones.store import exported_model
from engine.demo.pictures import write_pictures
from engine.estimators.fit import write_fit
from engine.heads.fit import Fit, fit
from engine.heads.open_features import open_features
from engine.process.execution import Execution
from engine.runner.extract import Extraction, FeatureRequest, extract
from engine.runner.survey import survey

_log = logging.getLogger(__name__)

# What training end to end is reckoned with: the usual recipe for a head on a frozen backbone.
EPOCHS = 10


def demo_backbone() -> BackboneRequest:
    """Return the demo's backbone: VGG16 with random weights, which nobody needs to download."""
    return backbone_request("vgg16", "random:0", None, None)


@dataclass(frozen=True)
class DemoOptions:
    """The options of `python -m engine.demo`.

    cache: where features are kept; the pictures go beside it, in the folder of that name and
        `-pictures`. None for a temporary place.
    request: None for `demo_backbone`.
    """

    pictures: int = 240
    cache: str | None = None
    request: BackboneRequest | None = None


@dataclass(frozen=True)
class Demo:
    """What the demo did.

    export_seconds: what it took to have the model; next to nothing where it was exported before.
    kept: the cache and the head, where they stay.
    """

    export_seconds: float
    first: Extraction
    second: Extraction
    fit: Fit
    kept: tuple[Path, Path] | None
    seconds: float

    @property
    def end_to_end_passes(self) -> int:
        """How many times EPOCHS epochs without a cache would run the backbone.

        Each epoch runs it over the training and the validation images, the test runs it once.
        """
        split = self.fit.split
        return EPOCHS * (len(split.train) + len(split.validation)) + len(split.test)

    @property
    def end_to_end_seconds(self) -> float | None:
        """What those passes would take at the rate of the first run; None if it computed none."""
        computed = self.first.tally.computed
        return self.end_to_end_passes / self.first.images_per_second if computed else None

    def payload(self) -> dict[str, Any]:
        """Return the JSON object of `--json`."""
        return {
            "export_seconds": round(self.export_seconds, 3),
            "extract": self.first.payload(),
            "extract_again": self.second.payload(),
            "fit": self.fit.payload(),
            "end_to_end": {
                "epochs": EPOCHS,
                "backbone_passes": self.end_to_end_passes,
                "seconds_at_the_measured_rate": self.end_to_end_seconds,
            },
            "cache": str(self.kept[0]) if self.kept else None,
            "head": str(self.kept[1]) if self.kept else None,
            "seconds": round(self.seconds, 3),
        }


def demonstrate(options: DemoOptions, execution: Execution = Execution()) -> Demo:
    """Run the demo.

    Raises:
        Failure: as `extract` and `fit`.
        Interrupted: `execution.stop` was set.
    """
    started = time.perf_counter()
    with _places(options.cache) as (pictures, cache):
        _log.info("drawing %s of stripes and discs", counted(options.pictures, "picture"))
        write_pictures(pictures, options.pictures)
        request = options.request or demo_backbone()
        # By itself and first, so that the rate of the extraction is that of the backbone.
        exporting = time.perf_counter()
        exported_model(request)
        export_seconds = time.perf_counter() - exporting
        first = _extract(pictures, cache, request, execution)
        _log.info("the same once more")
        second = _extract(pictures, cache, request, execution)
        fitted = fit(open_features(FeatureCache.open(cache).space()))
        kept = (cache, write_fit(fitted, None, report=True)) if options.cache else None
    return Demo(export_seconds, first, second, fitted, kept, time.perf_counter() - started)


def _extract(
    pictures: Path, cache: Path, request: BackboneRequest, execution: Execution
) -> Extraction:
    with survey(pictures) as images:
        return extract(images, cache, FeatureRequest(request, "fp32"), execution)


@contextlib.contextmanager
def _places(cache: str | None) -> Iterator[tuple[Path, Path]]:
    """Give the folders of the pictures and the cache; temporary ones are removed afterwards."""
    if cache is not None:
        path = Path(cache)
        yield path.with_name(f"{path.name}-pictures"), path
        return
    with tempfile.TemporaryDirectory(prefix="onceover-demo-") as scratch:
        try:
            yield Path(scratch) / "pictures", Path(scratch) / "cache"
        except Interrupted as stop:
            raise Interrupted("stopped; the demo's temporary files are removed") from stop
