"""What extractions did, as JSON and in words: of several sources, each a dataset of its own."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from cache.commandline.printable import printable
from cache.commandline.words import command_line, counted
from cache.dataset_names import source_datasets
from cache.rows import class_order
from cache.store import FeatureCache
from engine.precision.choice import Choice
from engine.runner.extract import Extraction
from engine.runner.survey import Survey

_SUMMED = ("samples", "ignored", "computed", "hits", "duplicates", "seconds")
# Rejected images that are named one by one for one reason.
_NAMED = 3

_COUNTS = ("classes", "splits", "ignored_kinds", "stages")


def joined_payload(payloads: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return one JSON object for several surveys or extractions; the only one as it is.

    `source` is then a list, numbers and counts are summed up, the rest is the first's.
    """
    first = payloads[0]
    if len(payloads) == 1:
        return first
    joined = {**first, "source": [payload["source"] for payload in payloads]}
    for key in first.keys() & set(_SUMMED):
        joined[key] = round(sum(payload[key] for payload in payloads), 4)
    for key in first.keys() & set(_COUNTS):
        each = [payload[key] for payload in payloads]
        joined[key] = None if all(counts is None for counts in each) else _sum(each)
    if "rejected" in first:
        joined["rejected"] = [entry for payload in payloads for entry in payload["rejected"]]
        # Of the passes, whose seconds the rates say.
        computed = [(p["computed"], p["images_per_second"]) for p in payloads]
        seconds = sum(count / rate for count, rate in computed if rate)
        total = sum(count for count, _ in computed)
        joined["images_per_second"] = round(total / seconds, 3) if seconds else 0.0
    return joined


def prepared(choice: Choice, surveys: Sequence[Survey], cache: str) -> tuple[dict[str, Any], str]:
    """Return what a choice of precision was, as JSON values and in words. cache: its folder."""
    model = choice.model.description
    payload = {
        "space": choice.space.id,
        "backbone": model.backbone,
        "precision": model.precision,
        "precision_reason": choice.reason,
    }
    line = (
        f"{printable(cache)} is prepared for {choice.space.names['backbone']} at "
        f"{printable(model.layer)} in {model.precision}: {choice.reason}"
    )
    return {**joined_payload([survey.payload() for survey in surveys]), **payload}, line


def _sum(counts: Sequence[Mapping[str, float] | None]) -> dict[str, float]:
    """Return counts summed up by name; whole numbers among names in numeric order."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each or {})
    return {name: round(total[name], 4) for name in class_order(total)}


def rejections(extractions: Sequence[Extraction]) -> list[str]:
    """Return a line for each rejected image; one for all of a reason that many have."""
    paths: dict[str, list[str]] = {}
    for extraction in extractions:
        for path, reason in extraction.tally.rejected:
            paths.setdefault(reason, []).append(path)
    lines = []
    for reason, rejected in paths.items():
        first = [printable(path) for path in rejected[:_NAMED]]
        if len(rejected) > _NAMED:
            first = [f"{len(rejected):,} images, the first {first[0]}"]
        lines += [f"rejected {path}: {printable(reason)}" for path in first]
    return lines


def summary(extractions: Sequence[Extraction], cache: str, prog: str) -> str:
    """Return the lines that the command prints. prog: how it was called."""
    tallies = [extraction.tally for extraction in extractions]
    done, computed, hits, duplicates, rejected = (
        sum(numbers)
        for numbers in zip(
            *((t.done, t.computed, t.hits, t.duplicates, len(t.rejected)) for t in tallies),
            strict=True,
        )
    )
    first = extractions[0]
    passes = sum(extraction.pass_seconds for extraction in extractions)
    seconds = sum(extraction.seconds for extraction in extractions)
    rate = f", {computed / passes:.1f} images/s" if computed else ""
    ignored = sum(extraction.survey.source.ignored for extraction in extractions)
    counts = (
        f"{counted(done, 'image')}: {computed:,} computed, {hits:,} already in the cache, "
        f"{counted(duplicates, 'duplicate')}, {rejected:,} rejected"
        + (f"; {counted(ignored, 'other file')} ignored" if ignored else "")
    )
    space = (
        f"space {first.space.id} ({first.space.names['backbone']} at "
        f"{printable(first.model.layer)}, {first.model.precision}) in {printable(cache)}; "
        f"{seconds:.1f} s{rate}"
    )
    lines = [counts, *_steady(extractions), space]
    if done > rejected and not any(extraction.survey.classes for extraction in extractions):
        lines.append(
            "without labels there is no head to train: folders or a table's column give them"
        )
    elif done > rejected:
        fit = command_line(prog, "engine.fit_head", "fit", _fitting(extractions, cache))
        lines.append(f"next: {fit}")
    elif done:
        lines.append(f"no image gives a feature; {first.survey.source.advice}")
    return "\n".join(lines)


def _fitting(extractions: Sequence[Extraction], cache: str) -> list[str]:
    """Return the options that fit a head on what was extracted, and on nothing else of a cache."""
    words = ["--cache", cache]
    space = extractions[0].space
    if sum(bool(other.datasets()) for other in FeatureCache.open(cache).spaces()) > 1:
        words += ["--space", space.id]
    extracted = {extraction.survey.dataset for extraction in extractions}
    if set(source_datasets(space.datasets())) - extracted:
        words += ["--dataset", *(extraction.survey.location for extraction in extractions)]
    return words


def _steady(extractions: Sequence[Extraction]) -> list[str]:
    """Return a line for each extraction whose heads were watched."""
    lines = []
    for extraction in extractions:
        steady = extraction.steady
        if steady is None or steady.last is None:
            continue
        last = steady.last
        end = (
            "more would hardly change it, so the rest was left out"
            if steady.stopped
            else "not steady yet when all were extracted"
        )
        lines.append(
            f"accuracy {last.accuracy:.4f} ({last.interval[0]:.4f} to {last.interval[1]:.4f}) out "
            f"of fold with {counted(last.images, 'image')}: {end}"
        )
    return lines
