"""What `auto` asks of int8, what of it is not met, and when more images would not change that."""

from engine.precision.parity import Parity

# See docs/decisions/050.
MIN_GAIN = 1.3
MIN_COSINE_MEAN, MIN_COSINE_P1 = 0.99, 0.97
MAX_ACCURACY_LOSS, MAX_P_VALUE = 0.02, 0.05

# Figures that are so many times better or worse than what is asked are far from it: what is left of
# the cosine to 1, and the speed.
_FAR_COSINE, _FAR_GAIN = 2.0, 1.25

# Images of which int8 is taken at the earliest: of 16, one in five sets would hold none of those
# that are lost altogether if one in ten were (docs/decisions/050).
LEAST_TAKEN = 32

# Heads that lose images only by as much chance as this have not even begun to look worse.
NO_HINT = 0.25


def objections_to(parity: Parity) -> list[str]:
    """Return what speaks against int8 by the thresholds of `auto`; nothing if it may be taken."""
    objections = []
    if parity.gain < MIN_GAIN:
        objections.append(f"{parity.gain:.2f} times as fast is below {MIN_GAIN}")
    if parity.cosine_mean < MIN_COSINE_MEAN:
        objections.append(f"mean cosine {parity.cosine_mean:.4f} is below {MIN_COSINE_MEAN}")
    if parity.cosine_p1 < MIN_COSINE_P1:
        objections.append(
            f"1st percentile of the cosine {parity.cosine_p1:.4f} is below {MIN_COSINE_P1}"
        )
    head = parity.head
    if head is not None and heads_are_worse(parity):
        objections.append(
            f"head accuracy {head.other:.4f} instead of {head.fp32:.4f}, which chance alone gives "
            f"in {head.p_value:.1%} of cases"
        )
    return objections


def heads_are_worse(parity: Parity) -> bool:
    """Tell whether heads lose more than they may, and by more than chance explains."""
    head = parity.head
    if head is None:
        return False
    return head.fp32 - head.other > MAX_ACCURACY_LOSS and head.p_value <= MAX_P_VALUE


def is_clear(parity: Parity) -> bool:
    """Tell whether figures of a few images are so far from what is asked that no more are needed.

    Far above it: each cosine, the mean and the least, is lost by half of what is allowed or less,
    the speed exceeds what is asked, and heads show no hint of being worse, all on images enough to
    hold some of what goes wrong now and then. Far below it: the mean is lost by twice of what is
    allowed, or the speed is hopeless.
    """
    lost, allowed = 1 - parity.cosine_mean, 1 - MIN_COSINE_MEAN
    if lost > _FAR_COSINE * allowed or parity.gain < MIN_GAIN / _FAR_GAIN:
        return True
    return (
        parity.images >= LEAST_TAKEN
        and parity.gain >= MIN_GAIN * _FAR_GAIN
        and lost <= allowed / _FAR_COSINE
        and 1 - parity.cosine_min <= (1 - MIN_COSINE_P1) / _FAR_COSINE
        and (parity.head is None or parity.head.p_value >= NO_HINT)
    )
