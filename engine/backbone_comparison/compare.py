"""The comparison: each backbone in turn on growing fair samples, the hopeless ones left behind.

Successive halving (Jamieson & Talwalkar, Non-stochastic best arm identification, 2016), but that
a backbone is left behind for a reason and not for its rank: where its interval of accuracy lies
below the best one's.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cache.commandline.words import counted
from cache.failures import UsageFailure
from engine.backbone_comparison.candidate import Candidate
from engine.backbone_comparison.result import Comparison, Measured, with_frontier
from engine.backbones.model import ModelFile
from engine.graphs.model_file import data_file
from engine.graphs.session import available_cores
from engine.heads.cross_validation import cross_validate
from engine.heads.figures import wilson_interval
from engine.heads.open_features import open_features
from engine.heads.solvers import SolverOptions
from engine.precision.choice import Choice
from engine.process.execution import Execution
from engine.runner.extract import Extraction, Extractor
from engine.runner.survey import Survey

_log = logging.getLogger(__name__)

# Images of the first round; each further round has twice as many.
_FIRST = 200

_FOLDS = 5

# How often the folds are drawn anew; the accuracy is the mean.
_REPEATS = 2


@dataclass
class _Contestant:
    """A backbone that is being compared. Its extractor keeps the loaded model.

    choice: of its precision, made once for all rounds.
    """

    candidate: Candidate
    extractor: Extractor
    choice: Choice | None = None
    measured: Measured | None = None
    stopped: bool = False


def compare(
    survey: Survey,
    cache: str | Path,
    candidates: Sequence[Candidate],
    budget: float | None = None,
    execution: Execution = Execution(),
) -> Comparison:
    """Compare backbones on a survey's labelled images. All that is computed stays in the cache.

    budget: minutes after which no further round is begun; None for no limit.

    Raises:
        UsageFailure: there are fewer than two backbones or classes, or the source can only be
            read in its own order, which is no fair sample.
        Failure, Interrupted: as `engine.runner.extract.extract`.
    """
    _check(survey, candidates)
    started = time.monotonic()
    contestants = [_Contestant(each, Extractor(cache, each.request)) for each in candidates]
    for count in _rounds(len(survey.samples)):
        part = replace(survey, samples=survey.samples[:count], adds=count < len(survey.samples))
        for contestant in contestants:
            if contestant.stopped:
                continue
            if _is_over(started, budget) and contestant.measured is not None:
                break
            contestant.measured = _measure(contestant, survey, part, execution)
            _log.info("%s", contestant.measured.line())
        _leave_behind(contestants)
        if _is_over(started, budget):
            _log.info("the budget is used up after %s", counted(count, "image"))
            break
    results = [
        replace(each.measured, stopped=each.stopped) for each in contestants if each.measured
    ]
    return Comparison(survey.location, len(survey.samples), tuple(with_frontier(results)))


def _check(survey: Survey, candidates: Sequence[Candidate]) -> None:
    if len(candidates) < 2:
        raise UsageFailure("give two backbones at least to compare")
    if len(survey.classes) < 2:
        raise UsageFailure("backbones are compared by a head, which needs two classes")
    survey.check_fair()


def _rounds(images: int) -> Iterator[int]:
    count = _FIRST
    while count < images:
        yield count
        count *= 2
    yield images


def _is_over(started: float, budget: float | None) -> bool:
    return budget is not None and time.monotonic() - started > 60 * budget


def _leave_behind(contestants: Sequence[_Contestant]) -> None:
    """Stop those whose accuracy cannot be that of the best one any more."""
    running = [each for each in contestants if each.measured and not each.stopped]
    if not running:
        return
    best = max(each.measured.interval[0] for each in running if each.measured)
    for each in running:
        if each.measured and each.measured.interval[1] < best:
            each.stopped = True
            _log.info("%s is left behind: the best is above its interval", each.candidate.name)


def _measure(
    contestant: _Contestant, survey: Survey, part: Survey, execution: Execution
) -> Measured:
    extractor = contestant.extractor
    choice = contestant.choice or extractor.choose(survey, execution)
    contestant.choice = choice
    extraction = extractor.run(part, choice, execution)
    features = open_features(choice.space, [part.dataset], part.paths).labelled()
    begun = time.perf_counter()
    outcomes = [
        cross_validate(features, _FOLDS, SolverOptions(seed=seed)).scores.accuracy
        for seed in range(_REPEATS)
    ]
    fit_seconds = (time.perf_counter() - begun) / (_REPEATS * _FOLDS)
    accuracy = float(np.mean(outcomes))
    rate = _rate(extraction, execution)
    if rate is None and contestant.measured is not None:
        rate = contestant.measured.images_per_second
    seconds = None if rate is None else len(survey.samples) / rate + fit_seconds
    return Measured(
        backbone=contestant.candidate.name,
        space=choice.space.id,
        precision=choice.model.description.precision,
        images=len(features),
        accuracy=accuracy,
        interval=wilson_interval(accuracy, len(features)),
        images_per_second=rate,
        model_mb=_bytes(choice.model) / 1e6,
        feature_bytes=4 * choice.space.dimension,
        seconds_to_head=seconds,
    )


def _rate(extraction: Extraction, execution: Execution) -> float | None:
    """Return how many images a second all cores take, by the work done; None where none was."""
    tally = extraction.tally
    work = tally.read + tally.decode + tally.infer
    if not tally.computed or not work:
        return None
    return (execution.threads or available_cores()) * tally.computed / work


def _bytes(model: ModelFile) -> int:
    files = (model.path, data_file(model.path))
    return sum(path.stat().st_size for path in files if path.is_file())
