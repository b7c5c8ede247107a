"""Small SVG charts, drawn by hand: a page with them needs no plotting library and no script.

Colours and fonts come from the page's style sheet, `report.css`. All numbers; no text from users.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from engine.heads.scores import Bin
from engine.pages.labels import beside

WIDTH, HEIGHT = 480, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 14, 52

# Style classes of the first and second series.
SERIES = ("first", "second")


@dataclass(frozen=True)
class Axis:
    """Where numbers lie on a side of a chart.

    low, high: numbers at its ends; start, end: their places in pixels. ticks: numbers that are
    written, by `label`. log: whether places go by the logarithm.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    label: Callable[[float], str]
    log: bool = False

    def place(self, number: float) -> float:
        """Return a number's place in pixels, to a tenth."""
        low, high, at = self.low, self.high, number
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(number)
        share = (at - low) / (high - low) if high != low else 0.5
        return round(self.start + share * (self.end - self.start), 1)


def round_ticks(high: float, count: int = 5) -> tuple[float, ...]:
    """Return about `count` round numbers from 0 up to the first that is not below `high`."""
    step = max(high, 1e-12) / count
    scale = 10.0 ** math.floor(math.log10(step))
    step = next(scale * factor for factor in (1, 2, 5, 10) if scale * factor >= step * 0.999)
    # Multiplied, not added up: 0.3, not 0.30000000000000004.
    return tuple(number * step for number in range(math.ceil(high / step - 1e-9) + 1))


def line_chart(
    x: Sequence[float],
    series: Sequence[Sequence[float]],
    names: Sequence[str],
    *,
    x_label: str,
    y_label: str,
    log: bool = False,
    chosen: float | None = None,
) -> Markup:
    """Return an SVG of up to two series over x, from the first x at the left to the last.

    log: x by its logarithm, with a tick at each decade. chosen: an x to mark.
    """
    highest = max(max(values) for values in series)
    y_ticks = round_ticks(highest)
    vertical = Axis(0, y_ticks[-1] or 1, HEIGHT - _BOTTOM, _TOP, y_ticks, _short)
    x_ticks = _decades(x) if log else _whole(x)
    # Room at both ends, so that no point lies on the axis.
    horizontal = Axis(x[0], x[-1], _LEFT + 10, WIDTH - _RIGHT - 6, x_ticks, _short, log)
    parts = [_frame(horizontal, vertical, x_label, y_label)]
    if chosen is not None:
        place = horizontal.place(chosen)
        parts.append(_guide(place, _TOP, place, HEIGHT - _BOTTOM))
    for style, name, values in zip(SERIES, names, series, strict=False):
        points = [
            (horizontal.place(number), vertical.place(value))
            for number, value in zip(x, values, strict=True)
        ]
        route = "L".join(f"{across} {down}" for across, down in points)
        parts.append(f'<path class="line {style}" d="M{route}"/>')
        for (across, down), number, value in zip(points, x, values, strict=True):
            parts.append(
                f'<circle class="dot {style}" cx="{across}" cy="{down}" r="3.5">'
                f"<title>{number:.3g}: {name} {value:.4f}</title></circle>"
            )
    return _svg(parts, f"{y_label} over {x_label}: {' and '.join(names)}")


def interval_chart(
    x: Sequence[float],
    intervals: Sequence[tuple[float, float, float]],
    *,
    marked: Sequence[bool],
    x_label: str,
    y_label: str,
) -> Markup:
    """Return an SVG of shares over x by its logarithm: a numbered dot with its interval for each.

    intervals: (low, share, high). marked: whether a dot is in the first colour.
    """
    shares = _shares(min((low for low, _, _ in intervals), default=0.0))
    floor = shares[0]
    vertical = Axis(floor, 1, HEIGHT - _BOTTOM, _TOP, shares, _percent)
    ends = (min(x, default=1.0) / 1.5, max(x, default=1.0) * 1.5)
    ticks = _decades(ends) or tuple({min(x, default=1.0), max(x, default=1.0)})
    horizontal = Axis(*ends, _LEFT, WIDTH - _RIGHT, ticks, _short, log=True)
    parts = [_frame(horizontal, vertical, x_label, y_label)]
    dots = [
        (horizontal.place(place), vertical.place(share))
        for place, (_, share, _) in zip(x, intervals, strict=True)
    ]
    texts = beside(dots, (_LEFT, 0, WIDTH, HEIGHT - _BOTTOM))
    for number, (place, (low, share, high), filled) in enumerate(
        zip(x, intervals, marked, strict=True), 1
    ):
        across, middle = dots[number - 1]
        top, bottom = (vertical.place(value) for value in (high, max(low, floor)))
        style = "first" if filled else "second"
        what = f"{number}: {share:.2%} in {place:,.1f} s"
        parts.append(
            f'<path class="line {style}" d="M{across} {top}V{bottom}"/>'
            f'<circle class="dot {style}" cx="{across}" cy="{middle}" r="5">'
            f"<title>{what}</title></circle>"
            f'<text x="{texts[number - 1][0]}" y="{texts[number - 1][1]}" text-anchor="middle">'
            f"{number}</text>"
        )
    return _svg(parts, f"{y_label} over {x_label}")


def reliability_chart(bins: Sequence[Bin], low: float) -> Markup:
    """Return an SVG of accuracy over confidence, a dot for each bin.

    low: the least confidence that an answer can have, where the axis begins.
    """
    ticks = (0, 0.25, 0.5, 0.75, 1)
    horizontal = Axis(low, 1, _LEFT, WIDTH - _RIGHT, _even(low), _percent)
    vertical = Axis(0, 1, HEIGHT - _BOTTOM, _TOP, ticks, _percent)
    parts = [
        _frame(horizontal, vertical, "how sure the answers are", "how many are right"),
        _guide(horizontal.place(low), vertical.place(low), horizontal.place(1), vertical.place(1)),
    ]
    for b in bins:
        what = f"{b.images:,} answers, {b.confidence:.1%} sure: {b.accuracy:.1%} right"
        parts.append(
            f'<circle class="dot second" cx="{horizontal.place(max(b.confidence, low))}" '
            f'cy="{vertical.place(b.accuracy)}" r="5"><title>{what}</title></circle>'
        )
    return _svg(parts, "share of right answers over confidence")


def _shares(least: float) -> tuple[float, ...]:
    """Return round shares, at most seven, from one that is not above `least` up to 1."""
    for step in (0.01, 0.02, 0.05, 0.1):
        count = math.ceil((1 - max(least, 0.0)) / step - 1e-9) or 1
        if count <= 6:
            break
    else:
        step, count = 0.2, 5
    return tuple(round(1 - step * number, 2) for number in range(count, -1, -1))


def _even(low: float) -> tuple[float, ...]:
    return tuple(low + (1 - low) * number / 5 for number in range(6))


def _svg(parts: Sequence[str], description: str) -> Markup:
    return Markup(  # noqa: S704 - of numbers and of names in this package
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{description}">'
        f"{''.join(parts)}</svg>"
    )


def _guide(x0: float, y0: float, x1: float, y1: float) -> str:
    return f'<path class="guide" d="M{x0} {y0}L{x1} {y1}"/>'


def _frame(
    horizontal: Axis,
    vertical: Axis,
    x_label: str,
    y_label: str,
    ticks_at: float = HEIGHT - _BOTTOM,
) -> str:
    """Return grid lines, ticks and labels. ticks_at: where those of x hang."""
    parts = []
    for tick in vertical.ticks:
        place = vertical.place(tick)
        parts.append(
            f'<path class="gridline" d="M{_LEFT} {place}H{WIDTH - _RIGHT}"/>'
            f'<text x="{_LEFT - 8}" y="{place + 4}" text-anchor="end">{vertical.label(tick)}</text>'
        )
    parts += [
        f'<text x="{horizontal.place(tick)}" y="{ticks_at + 19}" text-anchor="middle">'
        f"{horizontal.label(tick)}</text>"
        for tick in horizontal.ticks
    ]
    middle = (vertical.start + vertical.end) / 2
    parts.append(
        f'<text x="{(_LEFT + WIDTH - _RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{x_label}</text>"
        f'<text transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">'
        f"{y_label}</text>"
    )
    return "".join(parts)


def _decades(x: Sequence[float]) -> tuple[float, ...]:
    """Return the powers of ten within the x; where those are few, twice and five times them too."""
    low, high = min(x) * (1 - 1e-9), max(x) * (1 + 1e-9)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: tuple[float, ...] = ()
    for multiples in ((1,), (1, 2, 5)):
        every = (multiple * 10.0**power for power in powers for multiple in multiples)
        ticks = tuple(tick for tick in every if low <= tick <= high)
        if len(ticks) > 2:
            break
    return ticks


def _whole(x: Sequence[float]) -> tuple[float, ...]:
    """Return at most ten of the x, evenly."""
    return tuple(x[:: math.ceil(len(x) / 10)])


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:.4g}"


def _percent(number: float) -> str:
    return f"{number:.0%}" if abs(number * 100 - round(number * 100)) < 1e-6 else f"{number:.1%}"
