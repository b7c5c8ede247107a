"""An extraction that stops when more images would not change what a head can do.

The order of a survey is a fair sample, so its first images are taken, a head is fitted, then more
of them, until the rule of `engine.heads.steadiness` holds. A later run goes on from there.
"""

import logging
from dataclasses import replace

from cache.commandline.words import counted
from cache.failures import Interrupted, UsageFailure
from cache.space import Space
from engine.heads.open_features import open_features
from engine.heads.steadiness import Steadiness, is_steady, looks, measure_steadiness
from engine.process.execution import Execution
from engine.runner.extract import Extraction, Extractor, Steady
from engine.runner.survey import Survey
from engine.runner.tally import Tally

_log = logging.getLogger(__name__)

_STAGES = ("read", "decode", "infer", "write")


def extract_until_steady(
    extractor: Extractor, survey: Survey, points: float = 0.5, execution: Execution = Execution()
) -> Extraction:
    """Extract more and more of a survey until twice the images would not gain `points`.

    The result says in `steady` what heads on them do, and whether images were left out.

    points: hundredths of accuracy.

    Raises:
        UsageFailure: the source can only be read in its own order, which is no fair sample, or it
            has fewer than two classes.
        Failure, Interrupted: as `engine.runner.extract.extract`.
    """
    survey.check_fair()
    if len(survey.classes) < 2:
        raise UsageFailure("whether more images help is seen by a head, which needs two classes")
    choice = extractor.choose(survey, execution)
    earlier: list[Extraction] = []
    seen: list[Steadiness] = []
    for count in looks(len(survey.samples), len(survey.classes), points):
        part = replace(survey, samples=survey.samples[:count], adds=count < len(survey.samples))
        earlier.append(extractor.run(part, choice, execution))
        look = _measured(choice.space, part)
        if look is not None:
            seen.append(look)
            _report(look)
            if is_steady(seen, points) and count < len(survey.samples):
                return _joined(earlier, Steady(look, stopped=True))
        if execution.stop is not None and execution.stop.is_set() and count < len(survey.samples):
            raise Interrupted(
                f"stopped; {count:,} of {counted(len(survey.samples), 'image')} are done and "
                "kept, run the same command again to go on"
            )
    return _joined(earlier, Steady(seen[-1] if seen else None, stopped=False))


def _measured(space: Space, part: Survey) -> Steadiness | None:
    """Measure on the distinct labelled images of a part; None where it has fewer than two classes.

    The dataset may hold more: those of an earlier run that went further.
    """
    features = open_features(space, [part.dataset], part.paths)
    if len(features.classes) < 2:
        return None
    features = features.labelled()
    seed = part.selection.seed
    return measure_steadiness(features.X, features.y, len(features.classes), seed)


def _report(last: Steadiness) -> None:
    low, high = last.interval
    _log.info(
        "%s: accuracy %.4f (%.4f to %.4f), %+.2f points and %.4f nats by the last doubling",
        counted(last.images, "image"),
        last.accuracy,
        low,
        high,
        100 * last.gain,
        last.loss_gain,
    )


def _joined(extractions: list[Extraction], steady: Steady) -> Extraction:
    """Return one extraction for several, each of which found what those before had computed."""
    last = extractions[-1]
    tallies = [extraction.tally for extraction in extractions]
    computed = sum(tally.computed for tally in tallies)
    again = computed - last.tally.computed
    tally = Tally(
        computed,
        last.tally.hits - again,
        last.tally.duplicates,
        last.tally.rejected,
        *(sum(getattr(tally, stage) for tally in tallies) for stage in _STAGES),
    )
    seconds = sum(extraction.seconds for extraction in extractions)
    passes = sum(extraction.pass_seconds for extraction in extractions)
    return replace(last, tally=tally, seconds=seconds, pass_seconds=passes, steady=steady)
