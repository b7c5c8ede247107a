"""The tables of docs/backbones.md: networks that go by a name, as they were measured."""

from collections.abc import Mapping
from typing import Any

from benchmarks.applications import ALLOWED, BY_SIZE
from benchmarks.measuring.record import table
from engine.backbones.architectures import ARCHITECTURES

_Rows = Mapping[str, Mapping[str, Any]]

_UNKNOWN = "-"


def network_table(compared: _Rows, timed: _Rows) -> str:
    """Return all networks by size; a dash where something was not measured."""
    head = ["network", "cut", "size", "parameters", "features", "MB"]
    head += ["fp32, images/s", "int8, images/s", "difference to Keras"]
    rows = []
    for name in BY_SIZE:
        architecture = ARCHITECTURES[name]
        layer, cut = architecture.cut(None)
        speed, check = timed.get(name, {}), compared.get(name, {})
        rows.append(
            [
                f"`{name}`",
                layer,
                "x".join(map(str, architecture.size)),
                f"{cut.parameters:,}",
                f"{cut.features:,}",
                f"{4 * cut.parameters / 1e6:,.1f}",
                f"{speed['fp32']:.1f}" if "fp32" in speed else _UNKNOWN,
                f"{speed['int8']:.1f}" if "int8" in speed else _UNKNOWN,
                f"{check['difference']:.0e}" if check else _UNKNOWN,
            ]
        )
    return table(head, rows)


def int8_table(timed: _Rows) -> str:
    """Return what int8 gives each network of which it was made, and what `auto` takes."""
    head = ["network", "gain", "cosine, mean", "1st percentile", "relative error", "auto takes"]
    rows = []
    for name in BY_SIZE:
        row = timed.get(name, {})
        if "parity" not in row:
            continue
        parity, objections = row["parity"], row["objections"]
        gain = row["int8"] / row["fp32"] if "int8" in row else parity["gain"]
        rows.append(
            [
                f"`{name}`",
                f"{gain:.2f} x",
                f"{parity['cosine_mean']:.4f}",
                f"{parity['cosine_p1']:.4f}",
                f"{parity['relative_error']:.3f}",
                f"fp32: {'; '.join(objections)}" if objections else "int8",
            ]
        )
    return table(head, rows) if rows else "Not measured yet: `python -m benchmarks.speeds`."


def compared_line(compared: _Rows) -> str:
    """Return how many networks were compared with Keras, and how far they are from it."""
    if not compared:
        return "Not compared yet: `python -m benchmarks.applications`."
    worst = max(row["difference"] for row in compared.values())
    left = [f"`{name}`" for name in BY_SIZE if name not in compared]
    others = f" Not compared yet: {', '.join(left)}." if left else ""
    return (
        f"{len(compared)} of {len(BY_SIZE)} networks were compared; the largest difference over "
        f"the largest value is {worst:.0e}, where {ALLOWED:.0e} is allowed.{others}"
    )
