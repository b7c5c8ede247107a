"""Where a short text goes beside each dot of a chart, so that it touches nothing else."""

from collections.abc import Sequence

Place = tuple[float, float]

# Where it may go, from a dot to the middle of the text: beside it first, then further up or down.
_WAYS = tuple((x, y) for y in (0, -15, 15, -30, 30, -45, 45) for x in (14, -14))

# Half of what a text of two digits takes, and what it keeps away from others.
_ACROSS, _DOWN = 15, 12


def beside(dots: Sequence[Place], box: tuple[float, float, float, float]) -> list[Place]:
    """Return a place for a text for each dot: its middle, and its line of writing.

    Clear of the other dots and texts; where all around a dot is taken, to its right all the same.

    dots: places in pixels. box: left, top, right and bottom of what the texts stay within.
    """
    taken: list[Place] = []
    for dot in dots:
        places = [(dot[0] + x, dot[1] + y) for x, y in _WAYS]
        others = [*taken, *(other for other in dots if other != dot)]
        free = (place for place in places if _is_free(place, others, box))
        taken.append(next(free, places[0]))
    return [(round(across, 1), round(down + 4, 1)) for across, down in taken]


def _is_free(place: Place, others: Sequence[Place], box: tuple[float, float, float, float]) -> bool:
    left, top, right, bottom = box
    inside = left + 8 <= place[0] <= right - 8 and top + 6 <= place[1] <= bottom - 6
    return inside and not any(
        abs(place[0] - x) < _ACROSS and abs(place[1] - y) < _DOWN for x, y in others
    )
