"""The extraction of a survey: choose the backbone's precision, then one pass."""

import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cache.store import FeatureCache, Space
from engine.backbones.backbone import Backbone
from engine.backbones.model import ModelDescription
from engine.backbones.request import BackboneRequest
from engine.backbones.store import exported_model
from engine.graphs.session import available_cores
from engine.images.decode import DECODE_RULE
from engine.precision.calibration_set import Images
from engine.precision.choice import choose_precision
from engine.process.execution import Execution
from engine.runner.survey import Survey
from engine.runner.tally import Tally
from engine.runner.threads import Target, run_pass

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeatureRequest:
    """Features as a user asks for them.

    precision: `auto`, `fp32` or `int8`. interpolation: of the resize to the backbone's size.
    """

    backbone: BackboneRequest
    precision: str = "auto"
    interpolation: str = "bilinear"


@dataclass(frozen=True)
class Extraction:
    """What an extraction did.

    seconds: of all of it, the survey too. pass_seconds: of the pass over the images alone.
    """

    survey: Survey
    space: Space
    model: ModelDescription
    precision_reason: str
    tally: Tally
    seconds: float
    pass_seconds: float

    @property
    def images_per_second(self) -> float:
        """How many new images a second the pass took."""
        return self.tally.computed / self.pass_seconds

    def payload(self) -> dict[str, Any]:
        """Return the JSON object of `--json`."""
        tally = asdict(self.tally)
        stages = {stage: round(tally[stage], 4) for stage in ("read", "decode", "infer", "write")}
        source = self.survey.payload()
        return {
            "source": source.pop("source"),
            "space": self.space.id,
            "backbone": self.model.backbone,
            "precision": self.model.precision,
            "precision_reason": self.precision_reason,
            **source,
            "computed": self.tally.computed,
            "hits": self.tally.hits,
            "duplicates": self.tally.duplicates,
            "rejected": [{"path": p, "reason": reason} for p, reason in self.tally.rejected],
            "seconds": round(self.seconds, 4),
            "images_per_second": round(self.images_per_second, 3),
            "stages": stages,
        }


def extract(
    survey: Survey,
    cache: str | Path,
    request: FeatureRequest,
    execution: Execution = Execution(),
) -> Extraction:
    """Bring the features of a survey's images into a cache, which is made where there is none.

    The choice of precision and its reason are logged before the pass.

    Raises:
        Failure: the source, the backbone or the cache cannot be used, see their modules.
        Interrupted: `execution.stop` was set; finished work is kept.
    """
    started = time.perf_counter()
    store = FeatureCache.create(cache)
    model = exported_model(request.backbone)
    images = Images(
        survey.source,
        survey.samples,
        request.interpolation,
        DECODE_RULE,
        survey.selection.seed,
        execution.threads or available_cores(),
    )
    choice = choose_precision(request.precision, model, store, images)
    _log.info("precision %s: %s", choice.model.description.precision, choice.reason)
    target = Target(choice.space, lambda: Backbone(choice.model), request.interpolation)
    begun = time.perf_counter()
    tally = run_pass(survey, target, execution)
    ended = time.perf_counter()
    description = choice.model.description
    return Extraction(
        survey,
        choice.space,
        description,
        choice.reason,
        tally,
        survey.seconds + ended - started,
        ended - begun,
    )
