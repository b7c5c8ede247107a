"""A backbone for the store: its graph, and beside it the data file that is mapped.

python -m engine.exporters --weights random:0 --out FOLDER/model.onnx

The store runs it as a process of its own, which takes TensorFlow's memory with it when it ends.
"""

import argparse
import contextlib
import sys
from collections.abc import Sequence

from cache.commandline.command import Console, command_parser, run_command
from engine.backbones.options import add_backbone_options

PROG = "python -m engine.exporters"


def main(argv: Sequence[str] | None = None, prog: str = PROG) -> int:
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

    from engine.backbones.options import request_from
    from engine.exporters.backbone import export_backbone
    from engine.exporters.limits import SECONDS, limit_memory, limited_time
    from engine.exporters.remarks import collected_remarks
    from engine.process.progress import shown_progress

    request, out = request_from(arguments), Path(arguments.out)
    with contextlib.ExitStack() as stack:
        if request.is_file:
            limit_memory(Path(request.backbone))
            late = f"{request.backbone} takes longer than {SECONDS / 60:.0f} minutes to export"
            stack.enter_context(limited_time(f"{PROG}: {late}; it may hold an endless loop"))
        # Lines of a download come often where there is no bar: somebody waits for this one.
        progress = shown_progress("megabyte", quiet=console.quiet, interval=5.0)
        remarks = stack.enter_context(collected_remarks())
        model = export_backbone(request, out, stack.enter_context(progress))
    record = {**model.digests.record("sha256", "data_sha256"), **asdict(model.description)}
    record["remarks"] = remarks
    console.result(record, f"{model.path} is written")


if __name__ == "__main__":
    sys.exit(main())
