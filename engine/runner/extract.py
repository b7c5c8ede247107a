"""A source into a cache: choose the samples and the backbone, then one pass."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cache.store import FeatureCache, Space
from engine.backbones.backbone import Backbone, ModelDescription
from engine.backbones.store import BackboneRequest, exported_model
from engine.graphs.session import BATCH_SIZE, available_cores
from engine.images.decode import DECODE_RULE
from engine.precision.calibration_set import Images
from engine.precision.choice import choose_precision
from engine.process.progress import progress
from engine.runner.threads import Tally, run_pass
from engine.sources.open import open_source
from engine.sources.order import interleave, select


@dataclass(frozen=True)
class ExtractOptions:
    """The options of `python -m engine.extract`; None stands for what is tuned or for all."""

    source: str
    cache: str
    request: BackboneRequest
    precision: str = "auto"
    interpolation: str = "bilinear"
    fraction: float | None = None
    limit_per_class: int | None = None
    seed: int = 0
    batch_size: int | None = None
    threads: int | None = None


@dataclass(frozen=True)
class ExtractReport:
    """What an extraction did: the JSON of `docs/`'s contract as `payload`, see `cli.md`."""

    space: Space
    model: ModelDescription
    precision_reason: str
    source: str
    tally: Tally
    samples: int
    ignored: int
    seconds: float

    def payload(self) -> dict[str, Any]:
        """Return the JSON object of `--json`."""
        tally = asdict(self.tally)
        stages = {stage: round(tally[stage], 4) for stage in ("read", "decode", "infer", "write")}
        return {
            "source": self.source,
            "space": self.space.id,
            "backbone": self.model.backbone,
            "precision": self.model.precision,
            "precision_reason": self.precision_reason,
            "samples": self.samples,
            "computed": self.tally.computed,
            "hits": self.tally.hits,
            "duplicates": self.tally.duplicates,
            "rejected": [{"path": p, "reason": reason} for p, reason in self.tally.rejected],
            "ignored": self.ignored,
            "seconds": round(self.seconds, 4),
            "images_per_second": round(self.tally.computed / self.seconds, 3),
            "stages": stages,
        }


def extract_source(
    options: ExtractOptions, say: Callable[[str], None], *, quiet: bool
) -> ExtractReport:
    """Bring the features of a source's images into a cache.

    Raises:
        Failure: the source, the backbone or the cache cannot be used, see their modules.
        Interrupted: at Ctrl-C; finished work is kept.
    """
    started = time.perf_counter()
    with open_source(options.source) as source:
        samples = select(
            source.samples,
            fraction=options.fraction,
            limit_per_class=options.limit_per_class,
            seed=options.seed,
        )
        if not source.sequential:
            samples = interleave(samples, options.seed)
        cache = FeatureCache.create(options.cache)
        model = exported_model(options.request, say)
        threads = options.threads or available_cores()
        images = Images(source, samples, options.interpolation, DECODE_RULE, options.seed, threads)
        choice = choose_precision(options.precision, model, cache, images, say)
        say(f"precision {choice.model.description.precision}: {choice.reason}")
        with progress(len(samples), quiet=quiet) as bar:
            tally = run_pass(
                source,
                samples,
                choice.space,
                lambda: Backbone(choice.model),
                dataset=dataset_name(options.source),
                interpolation=options.interpolation,
                batch_size=options.batch_size or BATCH_SIZE,
                threads=threads,
                progress=bar,
                say=say,
            )
        return ExtractReport(
            choice.space,
            choice.model.description,
            choice.reason,
            options.source,
            tally,
            len(samples),
            source.ignored,
            time.perf_counter() - started,
        )


def dataset_name(source: str) -> str:
    """Return the name that a source's rows go under in a cache: its absolute path."""
    return str(Path(source).resolve())
