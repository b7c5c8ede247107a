"""Private: an exported fp32 backbone and some pixels -> its int8 or fast form, with its parity.

python -m engine.precision FP32.onnx --pixels FILE.npz --out INT8.onnx

Extraction and export run it as a process of its own, which takes the memory of the fp32 network
with it when it ends.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from cache.commandline.command import Console, command_parser, run_command

# Seconds between two lines of progress: a making has four steps.
_LINE_INTERVAL = 2.0


def main(argv: Sequence[str] | None = None, prog: str = "python -m engine.precision") -> int:
    """Run the command; return its exit code."""
    parser = command_parser(
        prog,
        "Write the int8 or fast form of an exported fp32 backbone, and measure how close it comes.",
        f"{prog} vgg16.onnx --pixels pixels.npz --out vgg16-int8.onnx",
    )
    parser.add_argument("model", metavar="FP32.onnx", help="what python -m engine.export wrote")
    parser.add_argument(
        "--pixels",
        required=True,
        metavar="FILE.npz",
        help="arrays calibration and held_out, uint8 (N, H, W, 3), and labels of the latter, int64",
    )
    parser.add_argument(
        "--precision", choices=["int8", "fast"], default="int8", help="of what is written"
    )
    parser.add_argument("--out", required=True, metavar="INT8.onnx", help="where to write")
    return run_command(parser, _quantize, argv)


def _quantize(arguments: argparse.Namespace, console: Console) -> None:
    from pathlib import Path

    # Images are spread over the cores; NumPy's own threads would wait for each other beside them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from engine.precision.handover import read_pixels
    from engine.precision.worker import quantize_file
    from engine.process.progress import shown_progress

    pixels = read_pixels(Path(arguments.pixels))
    with shown_progress("step", quiet=console.quiet, interval=_LINE_INTERVAL) as progress:
        result = quantize_file(
            Path(arguments.model), pixels, Path(arguments.out), arguments.precision, progress
        )
    console.result(result.payload(), result.parity.summary())


if __name__ == "__main__":
    sys.exit(main())
