"""To which ranks convolutions are split: the most speed for the least energy of their responses.

Each convolution may stay as it is or take one of several ranks. A rank costs what of the variance
of the true responses it cannot give, and saves what it was measured to save. With the product of
what all convolutions keep for a measure of the whole (Zhang et al. 2015, section 2.4), the best
choices for all losses lie on the convex hulls of the convolutions' own choices, and are found by
always taking the next step that costs least for the time it saves. Losses are weighted by what
they do to the features (`engine.factorization.survey`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Option:
    """A way to compute a convolution. rank: None unsplit. seconds: measured, of one image.

    lost: of the features' cosine, about, by minus the logarithm of the share of energy kept.
    """

    rank: int | None
    seconds: float
    lost: float


def hull(options: Sequence[Option]) -> list[Option]:
    """Return the options worth taking, the unsplit one first, each faster than the one before."""
    chosen = [next(option for option in options if option.rank is None)]
    while True:
        last = chosen[-1]
        faster = [option for option in options if option.seconds < last.seconds]
        if not faster:
            return chosen
        chosen.append(min(faster, key=lambda o: (_slope(last, o), -o.seconds)))


def _slope(before: Option, after: Option) -> float:
    """Return what a step costs for a second."""
    return (after.lost - before.lost) / (before.seconds - after.seconds)


def choose_ranks(options: Mapping[str, Sequence[Option]], lost: float) -> dict[str, int]:
    """Return the ranks of the fastest form of a network that loses at most so much in all.

    options: of each convolution, the unsplit one among them. A convolution that is to stay as it is
    has no rank.
    """
    hulls = {name: hull(each) for name, each in options.items()}
    steps = sorted(
        (_slope(before, after), name, place)
        for name, each in hulls.items()
        for place, (before, after) in enumerate(pairwise(each))
    )
    reached = dict.fromkeys(hulls, 0)
    total = 0.0
    for _, name, place in steps:
        total += hulls[name][place + 1].lost - hulls[name][place].lost
        if total > lost:
            break
        reached[name] = place + 1
    ranks = {name: hulls[name][place].rank for name, place in reached.items()}
    return {name: rank for name, rank in ranks.items() if rank is not None}


def lost_energy(share: float) -> float:
    """Return what counts as lost where a share of the energy is kept."""
    return -math.log(max(share, 1e-9))
