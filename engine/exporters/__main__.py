"""A backbone for the store: its graph, and beside it the data file that is mapped.

python -m engine.exporters --weights random:0 --out FOLDER/model.onnx

The store runs it as a process of its own, which takes TensorFlow's memory with it when it ends.
"""

import argparse
import sys
from collections.abc import Sequence

from cache.commandline.command import Console, command_parser, run_command
from engine.backbones.request import add_backbone_options


def main(argv: Sequence[str] | None = None, prog: str = "python -m engine.exporters") -> int:
    """Run the command; return its exit code."""
    parser = command_parser(
        prog,
        "Export a backbone to an ONNX file with its weights in a second file beside it.",
        f"{prog} --weights random:0 --out model.onnx",
    )
    parser.add_argument("--out", required=True, metavar="FILE.onnx", help="where to write")
    add_backbone_options(parser)
    return run_command(parser, _export, argv)


def _export(arguments: argparse.Namespace, console: Console) -> None:
    from dataclasses import asdict
    from pathlib import Path

    from engine.backbones.request import request_from
    from engine.exporters.backbone import export_backbone
    from engine.process.progress import shown_progress

    request, out = request_from(arguments), Path(arguments.out)
    # Lines of a download come often where there is no bar: somebody waits for this one.
    with shown_progress("megabyte", quiet=console.quiet, interval=5.0) as progress:
        model = export_backbone(request, out, progress, for_store=True)
    record = {**model.digests.record("sha256", "data_sha256"), **asdict(model.description)}
    console.result(record, f"{model.path} is written")


if __name__ == "__main__":
    sys.exit(main())
