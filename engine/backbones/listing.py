"""`--list-backbones`: the networks that go by a name."""

import argparse
import json
import sys
from typing import Any

from engine.backbones.architectures import ARCHITECTURES

# Bytes of a float32 weight.
_WEIGHT = 4


def backbone_rows() -> list[dict[str, Any]]:
    """Return a row for each cut of each network: JSON values, sizes in pixels and megabytes."""
    return [
        {
            "backbone": architecture.name,
            "layer": layer,
            "size": list(architecture.size),
            "parameters": cut.parameters,
            "features": cut.features,
            "megabytes": round(cut.parameters * _WEIGHT / 1e6, 1),
            "preprocessing": architecture.preprocessing,
        }
        for architecture in ARCHITECTURES.values()
        for layer, cut in architecture.cuts.items()
    ]


def backbone_table() -> str:
    """Return the rows as text, a heading above them."""
    lines = [f"{'name':20} {'layer':12} {'size':>9} {'parameters':>12} {'features':>9} {'MB':>8}"]
    for row in backbone_rows():
        height, width = row["size"]
        lines.append(
            f"{row['backbone']:20} {row['layer']:12} {f'{height}x{width}':>9} "
            f"{row['parameters']:>12,} {row['features']:>9,} {row['megabytes']:>8,}"
        )
    return "\n".join(lines)


class ListBackbones(argparse.Action):
    """Prints the networks and ends the command, which needs nothing else then."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "dest": argparse.SUPPRESS, "nargs": 0})

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print them: as JSON where the command was asked for JSON, wherever that stands."""
        as_json = "--json" in sys.argv
        sys.stdout.write((json.dumps(backbone_rows()) if as_json else backbone_table()) + "\n")
        parser.exit(0)
