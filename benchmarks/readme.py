"""The paragraphs of README.md that say how much faster: out of the results of `compare`."""

import re
from collections.abc import Mapping
from typing import Any

from benchmarks.comparison.sooner import POINTS

_BEGIN, _END = "<!-- speed: python -m benchmarks.page -->", "<!-- end of speed -->"


def with_speed(readme: str, record: Mapping[str, Any] | None) -> str:
    """Return README's text with the paragraphs of a record of `compare` between its two marks.

    As it is where there is no record, or one of before these figures were taken.
    """
    if record is None or "sooner" not in record["results"]:
        return readme
    begin, end = readme.index(_BEGIN) + len(_BEGIN), readme.index(_END)
    return f"{readme[:begin]}\n\n{speed(record)}\n\n{readme[end:]}"


def speed(record: Mapping[str, Any]) -> str:
    """Return the paragraphs, wrapped."""
    results, machine = record["results"], record["machine"]
    ratios, all_in, sooner = results["ratios"], results["all_in_ratios"], results["sooner"]
    keras = results["end_to_end"]
    auto, made = all_in["auto"], all_in["auto"]["precision"]
    whole = next(iter(ratios.values()))["end_to_end_seconds"]
    processor = re.sub(r" \(.*\)", "", machine["processor"])
    first = (
        f"VGG16's real convolutions, averaged to 512 floats, {results['images']:,} photographs, "
        f"{results['epochs']} epochs, on {machine['cores']} {processor} cores, in one run of "
        f"`benchmarks/compare.py`. End-to-end in Keras takes {whole / 60:.0f} minutes "
        f"({keras['phases']['train']['steps']} steps of {keras['batch_size']} images of training "
        f"and of validation timed, the rest extrapolated). Onceover takes {auto['seconds']:.0f} "
        f"seconds with nothing there but the exported model, {auto['times_faster']:.1f} times "
        f"less: {made} is made and compared with fp32, each image run once, a head trained."
    )
    sentences = [first]
    if "int8" in ratios:
        int8 = ratios["int8"]
        sentences.append(
            f"With the int8 model there it takes {int8['cold_seconds']:.0f} seconds, "
            f"{int8['cold']:.1f} times less. To look through the unchanged photographs and train "
            f"again takes {int8['checked_seconds']:.1f} seconds, to train another head alone "
            f"{int8['warm_seconds']:.2f} seconds."
        )
    if "fast" in all_in:
        fast = all_in["fast"]
        sentences.append(
            f"`--precision fast` takes {fast['seconds']:.0f} seconds from nothing, "
            f"{fast['times_faster']:.1f} times less than end-to-end."
        )
    stops = sum(sooner["steady_images"]) / sooner["splits"]
    soon = (
        f"Of {sooner['images']:,} distinct photographs `extract --until-steady` takes "
        f"{sooner['runs']['extract']['report']['steady']['images']:,} and stops; with the head "
        "that is "
        f"{sooner['seconds']:.0f} seconds from nothing, {sooner['times_faster']:.0f} times less "
        f"than end-to-end's {sooner['epochs']} epochs on all of them "
        f"({sooner['average_times_faster']:.0f} for its average stop of {stops:,.0f}), and "
        f"{sooner['times_faster_than_sufficient']:.0f} times less than the "
        f"{sooner['sufficient_epoch']} of them that come to within {POINTS} points of its end. "
        f"The accuracy is {sooner['steady_accuracy']:.3f} where end-to-end's is "
        f"{sooner['end_to_end_accuracy'][-1]:.3f} (mean of {sooner['splits']} splits)."
    )
    return f"{_wrapped(' '.join(sentences))}\n\n{_wrapped(soon)}"


def _wrapped(text: str) -> str:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= 120:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(lines)
