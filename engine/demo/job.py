"""The job of `python -m engine.demo`: draw, extract twice, fit, and compare."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.failures import Interrupted
from engine.backbones.store import BackboneRequest, backbone_request, exported_model
from engine.demo.pictures import write_pictures
from engine.estimators.fit import write_fit
from engine.heads.fit import Fit, FitOptions, fit
from engine.runner.extract import ExtractOptions, ExtractReport, extract_source

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
    first: ExtractReport
    second: ExtractReport
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
        return self.end_to_end_passes * self.first.seconds / computed if computed else None

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


def demonstrate(options: DemoOptions, say: Callable[[str], None], *, quiet: bool) -> Demo:
    """Run the demo.

    Raises:
        Failure: as `extract_source` and `fit`.
        Interrupted: at Ctrl-C.
    """
    started = time.perf_counter()
    with _places(options.cache) as (pictures, cache):
        say(f"drawing {options.pictures} pictures of stripes and discs")
        write_pictures(pictures, options.pictures)
        request = options.request or demo_backbone()
        extraction = ExtractOptions(str(pictures), str(cache), request, precision="fp32")
        # By itself and first, so that the rate of the extraction is that of the backbone.
        exporting = time.perf_counter()
        exported_model(request, say)
        export_seconds = time.perf_counter() - exporting
        first = extract_source(extraction, say, quiet=quiet)
        say("the same once more")
        second = extract_source(extraction, say, quiet=quiet)
        fitted = fit(FitOptions(str(cache)), say, say)
        kept = (cache, write_fit(fitted, None, report=True)) if options.cache else None
    return Demo(export_seconds, first, second, fitted, kept, time.perf_counter() - started)


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
