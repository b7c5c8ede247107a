"""What `auto` asks of int8, and what of it is not met."""

from engine.precision.parity import Parity

# See docs/decisions/050.
MIN_GAIN = 1.3
MIN_COSINE_MEAN, MIN_COSINE_P1 = 0.99, 0.97
MAX_ACCURACY_LOSS = 0.02


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
    if parity.head is not None and parity.head.fp32 - parity.head.int8 > MAX_ACCURACY_LOSS:
        objections.append(f"head accuracy {parity.head.int8:.4f} instead of {parity.head.fp32:.4f}")
    return objections
