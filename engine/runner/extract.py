"""The extraction of a survey: choose the backbone's precision, then one pass."""

import logging
import time
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from cache.failures import Failure, UsageFailure
from cache.files import home_path
from cache.notes import TITLE_NOTE
from cache.store import FeatureCache, Space
from engine.backbones.backbone import Backbone
from engine.backbones.model import ModelDescription, ModelFile
from engine.backbones.request import PRECISIONS, BackboneRequest
from engine.backbones.store import exported_model
from engine.graphs.session import available_cores
from engine.heads.steadiness import Steadiness
from engine.images.decode import DECODE_RULE
from engine.images.framing import SQUASHED, Framing
from engine.precision.calibration_set import Images
from engine.precision.choice import Choice, choose_precision, settled_choice
from engine.process.execution import Execution
from engine.runner.replacement import tell_replacement
from engine.runner.survey import Survey
from engine.runner.tally import Tally
from engine.runner.threads import Target, run_pass

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeatureRequest:
    """Features as a user asks for them. UsageFailure for a value that there is not.

    precision: one of PRECISIONS. framing: how pictures come to the backbone's size.
    """

    backbone: BackboneRequest
    precision: str = "auto"
    framing: Framing = SQUASHED

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UsageFailure(f"precision {self.precision}: choose from {', '.join(PRECISIONS)}")


@dataclass(frozen=True)
class Steady:
    """How an extraction that watches its heads ended, see `engine.runner.until_steady`.

    last: what heads on the images do; None where they were too few. stopped: whether images were
    left out because more of them would change nothing.
    """

    last: Steadiness | None
    stopped: bool

    def payload(self) -> dict[str, Any]:
        """Return it as JSON values."""
        if self.last is None:
            return {"accuracy": None, "interval": None, "images": 0, "stopped": self.stopped}
        return {
            "accuracy": self.last.accuracy,
            "interval": list(self.last.interval),
            "images": self.last.images,
            "stopped": self.stopped,
        }


@dataclass(frozen=True)
class Extraction:
    """What an extraction did.

    seconds: of all of it, the survey too. pass_seconds: of the pass over the images alone.
    steady: where heads were watched on the way.
    """

    survey: Survey
    space: Space
    model: ModelDescription
    precision_reason: str
    tally: Tally
    seconds: float
    pass_seconds: float
    steady: Steady | None = None

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
            **({"steady": self.steady.payload()} if self.steady else {}),
        }


class Extractor:
    """Extracts surveys, one after another, into one cache, with features of one kind.

    The exported model and the loaded backbone stay from one survey to the next. Any number of
    processes may each have one for the same cache; one thread's.
    """

    def __init__(self, cache: str | Path, request: FeatureRequest) -> None:
        """Open the cache, which is made where there is none. Failure if it cannot be used."""
        self.request = request
        self.cache = FeatureCache.create(home_path(cache))
        self._loaded: tuple[ModelFile, Backbone] | None = None

    @cached_property
    def model(self) -> ModelFile:
        """The backbone as it was exported, which is done where it was not before."""
        return exported_model(self.request.backbone)

    @property
    def identity(self) -> dict[str, Any]:
        """What of the decoded images is part of a feature space."""
        return {**self.request.framing.identity, "decode_rule": DECODE_RULE}

    def backbone(self, model: ModelFile) -> Backbone:
        """Return a model loaded."""
        if self._loaded is None or self._loaded[0] != model:
            self._loaded = model, Backbone(model)
        return self._loaded[1]

    def settled(self) -> Choice | None:
        """Return the precision, where it needs no measurement and hangs on no number of images."""
        return settled_choice(self.request.precision, self.model, self.cache, self.identity)

    def extract(self, survey: Survey, execution: Execution = Execution()) -> Extraction:
        """Bring the features of a survey's images into the cache; see `choose`, then `run`.

        Raises: as the function `extract`.
        """
        started = time.perf_counter()
        choice = self.choose(survey, execution)
        chosen = time.perf_counter()
        extraction = self.run(survey, choice, execution)
        return replace(extraction, seconds=survey.seconds + chosen - started + extraction.seconds)

    def choose(self, survey: Survey, execution: Execution = Execution()) -> Choice:
        """Choose the precision; an int8 model is made of the survey's images where one is due.

        A share of a source makes none: each would come to another. It takes what the cache has,
        else fp32. The choice and its reason are logged.

        Raises: as the function `extract`.
        """
        choice = self._choice(survey, execution)
        self._name(choice.space)
        _log.info("precision %s: %s", choice.model.description.precision, choice.reason)
        return choice

    def _name(self, space: Space) -> None:
        """Have a space of a user's file shown by the name of that file, the first of several."""
        request, said = self.request.backbone, space.description.get("backbone")
        if request.is_file and space.names.get("backbone") == said:  # it has none, or a damaged one
            space.write_note(TITLE_NOTE, {"backbone": Path(request.backbone).name})

    def _choice(self, survey: Survey, execution: Execution) -> Choice:
        asked = self.request.precision
        if survey.selection.share is not None:
            if settled := self.settled():
                return settled
            if asked != "auto":
                raise Failure(
                    f"a share makes no {asked} model, and the cache has none: prepare the cache "
                    "with the whole source first, or choose fp32"
                )
            fp32 = choose_precision("fp32", self.model, self.cache, self._images(survey, execution))
            return replace(fp32, reason="the cache was not prepared, and a share makes no model")
        return choose_precision(asked, self.model, self.cache, self._images(survey, execution))

    def _images(self, survey: Survey, execution: Execution) -> Images:
        return Images(
            survey.source,
            survey.samples,
            self.request.framing,
            DECODE_RULE,
            survey.selection.seed,
            execution.threads or available_cores(),
        )

    def run(self, survey: Survey, choice: Choice, execution: Execution = Execution()) -> Extraction:
        """Bring the features of a survey's images into the cache, as it was chosen.

        Raises: as the function `extract`.
        """
        target = Target(choice.space, lambda: self.backbone(choice.model), self.request.framing)
        started = time.perf_counter()
        tell_replacement(survey, choice.space)
        if execution.cluster is None:
            tally = run_pass(survey, target, execution)
        else:
            from engine.runner.cluster import run_on_cluster

            tally = run_on_cluster(survey, choice, self.cache.path, self.request.framing, execution)
        seconds = time.perf_counter() - started
        description = choice.model.description
        return Extraction(survey, choice.space, description, choice.reason, tally, seconds, seconds)


def extract(
    survey: Survey,
    cache: str | Path,
    request: FeatureRequest,
    execution: Execution = Execution(),
) -> Extraction:
    """Bring the features of a survey's images into a cache, which is made where there is none.

    Raises:
        Failure: the source, the backbone or the cache cannot be used, see their modules.
        Interrupted: `execution.stop` was set; finished work is kept.
    """
    return Extractor(cache, request).extract(survey, execution)
