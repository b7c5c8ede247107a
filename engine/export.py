"""Keras or foreign ONNX network -> one ONNX file, pixels in, features out.

python -m engine.export --out FILE.onnx
"""

import argparse
import sys

from cache.command import Console, command_parser, run_command
from engine.backbone_options import add_backbone_options


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = command_parser(
        "python -m engine.export",
        "Export a backbone, its preprocessing inside, to one ONNX file.",
        "python -m engine.export --weights random:0 --out vgg16.onnx",
    )
    parser.add_argument("--out", required=True, metavar="FILE.onnx", help="where to write")
    add_backbone_options(parser)
    return run_command(parser, _export, argv)


def _export(arguments: argparse.Namespace, console: Console) -> None:
    import time
    from dataclasses import asdict
    from pathlib import Path

    from engine.exporting import export_backbone
    from engine.model_store import request_from

    started = time.perf_counter()
    model = export_backbone(request_from(arguments), Path(arguments.out))
    seconds = time.perf_counter() - started
    d = model.description
    console.result(
        {
            "out": str(model.path),
            "sha256": model.sha256,
            "bytes": model.path.stat().st_size,
            "seconds": round(seconds, 3),
            **asdict(d),
        },
        f"{model.path}: {d.backbone} to {d.layer}, {d.parameters:,} parameters, "
        f"{d.features:,} features an image, preprocessing {d.preprocessing}, "
        f"{model.path.stat().st_size / 1e6:.1f} MB, {seconds:.1f} s",
    )


if __name__ == "__main__":
    sys.exit(main())
