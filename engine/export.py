"""Keras or foreign ONNX network -> one ONNX file, pixels in, features or probabilities out.

python -m engine.export --out FILE.onnx
"""

import argparse
import sys
from collections.abc import Sequence

from cache.commandline.command import Console, command_parser, run_command
from cache.commandline.options import path
from cache.commandline.printable import printable
from cache.failures import UsageFailure
from engine.backbones.options import (
    add_backbone_options,
    add_framing_options,
    add_precision_option,
)


def build_parser(prog: str = "python -m engine.export") -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = command_parser(
        prog,
        "Export a backbone, its preprocessing inside, to one ONNX file; with a head, a classifier.",
        f"{prog} --weights random:0 --out vgg16.onnx",
    )
    parser.add_argument(
        "--out", required=True, type=path, metavar="FILE.onnx", help="where to write"
    )
    add_backbone_options(parser)
    add_precision_option(parser, None, "fp32; of a head, its own")
    parser.add_argument(
        "--calibrate",
        type=path,
        metavar="SOURCE",
        help="with --precision int8, fast or auto: a folder, archive or .csv of images like yours; "
        "with --head and another precision: instead of those that it was trained and tested on",
    )
    add_framing_options(parser, "with --calibrate, as you will extract: ")
    parser.add_argument(
        "--head",
        type=path,
        metavar="DIR",
        help="of a trained head: export the whole classifier, probabilities instead of features; "
        "the head says which backbone, and --precision at which precision, with the measured "
        "change in its answers",
    )
    parser.add_argument(
        "--cache", type=path, metavar="DIR", help="with --head: look for the backbone here too"
    )
    parser.add_argument(
        "--page",
        type=path,
        metavar="FILE.html",
        help="with --head: also a page that classifies pictures in the browser; a model of up to "
        "40 MB is in it, a larger one stays beside it",
    )
    parser.add_argument(
        "--runtime",
        type=path,
        metavar="DIR",
        help="with --page: of npm's onnxruntime-web (default: the nearest node_modules)",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace files though no export wrote them"
    )
    return parser


def main(argv: Sequence[str] | None = None, prog: str = "python -m engine.export") -> int:
    """Run the command; return its exit code."""
    return run_command(build_parser(prog), _export, argv)


def _export(arguments: argparse.Namespace, console: Console) -> None:
    framed = arguments.crop is not None or arguments.interpolation is not None
    if arguments.head is not None:
        if framed:
            raise UsageFailure(
                "a head says how its pictures are framed; leave --crop and --interpolation out"
            )
        _check_output(arguments)
        _export_classifier(arguments, console)
        return
    precision = arguments.precision or "fp32"
    if (precision == "fp32") != (arguments.calibrate is None):
        raise UsageFailure("--precision int8 (or fast, or auto) and --calibrate SOURCE go together")
    if framed and arguments.calibrate is None:
        raise UsageFailure(
            "--crop and --interpolation say how the pictures of --calibrate are framed; a backbone "
            "alone takes pixels: leave them out"
        )
    _check_output(arguments)
    for option, what in (
        (arguments.cache, "--cache says where to look for a head's backbone"),
        (arguments.page, "--page classifies by a head"),
        (arguments.runtime, "--runtime is of --page, which classifies by a head"),
    ):
        if option is not None:
            raise UsageFailure(f"{what}; give --head too")
    _export_backbone(arguments, console)


def _check_output(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from engine.exporters.output import check_output

    networks = (arguments.backbone, arguments.weights, arguments.head)
    inputs = (*networks, arguments.calibrate, arguments.cache)
    check_output(Path(arguments.out), inputs, force=arguments.force)


def _export_backbone(arguments: argparse.Namespace, console: Console) -> None:
    import time
    from dataclasses import asdict
    from pathlib import Path

    from engine.backbones.options import framing_from, request_from
    from engine.exporters.one_file import export_one_file

    started = time.perf_counter()
    request, out = request_from(arguments), Path(arguments.out)
    if arguments.calibrate is None:
        model = export_one_file(request, out)
    else:
        from engine.exporters.int8 import export_int8

        model = export_int8(
            request,
            arguments.calibrate,
            out,
            framing=framing_from(arguments),
            precision=arguments.precision,
        )
    seconds = time.perf_counter() - started
    d = model.description
    console.result(
        {
            "out": str(model.path),
            "sha256": model.digests.model,
            "bytes": model.path.stat().st_size,
            "seconds": round(seconds, 3),
            **asdict(d),
        },
        f"{model.path}: {d.backbone} to {printable(d.layer)}, {d.parameters:,} parameters, "
        f"{d.features:,} features an image, preprocessing {d.preprocessing}, {d.precision}, "
        f"{model.path.stat().st_size / 1e6:.1f} MB, {seconds:.1f} s",
    )


def _export_classifier(arguments: argparse.Namespace, console: Console) -> None:
    import time
    from pathlib import Path

    from engine.classifiers.export import export_head
    from engine.classifiers.find_backbone import named_backbone
    from engine.classifiers.other_precision import HeadPlace
    from engine.classifiers.page import page_writer

    write_page = page_writer(arguments.page, arguments.runtime, force=arguments.force)
    started = time.perf_counter()
    place = HeadPlace(Path(arguments.head), arguments.cache, named_backbone(arguments))
    exported = export_head(place, Path(arguments.out), arguments.precision, arguments.calibrate)
    page = write_page(exported.record, Path(arguments.out))
    seconds = time.perf_counter() - started
    change = exported.change
    record = exported.record
    line = (
        f"{arguments.out}: {record['backbone']} with a head of {len(record['classes'])} classes, "
        f"{record['precision']}, preprocessing {record['preprocessing']}, "
        f"{record['bytes'] / 1e6:.1f} MB, {seconds:.1f} s"
    )
    lines = [line, *([] if change is None else [change.summary()]), *([page] if page else [])]
    console.result({**record, "out": arguments.out, "seconds": round(seconds, 3)}, "\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
