"""The options that choose a backbone, the same for each command that has one."""

import argparse


def add_backbone_options(
    parser: argparse.ArgumentParser, backbone: str = "vgg16", weights: str = "imagenet"
) -> None:
    """Add the options that choose a backbone; `engine.backbones.store.request_from` reads them.

    None stands for what was not given: where a head is given, the head says which backbone.

    backbone, weights: what the help calls the defaults.
    """
    parser.add_argument(
        "--backbone",
        metavar="NAME|FILE",
        help=f"vgg16, mobilenet_v2, a .keras or an .onnx file (default: {backbone})",
    )
    parser.add_argument(
        "--weights",
        metavar="imagenet|FILE|random:SEED",
        help="imagenet (Keras downloads them), a weights file, or random ones "
        f"(default: {weights})",
    )
    parser.add_argument("--layer", metavar="NAME", help="where to cut (default: fc2 for vgg16)")
    parser.add_argument(
        "--preprocessing",
        choices=["caffe", "tf", "torch", "none"],
        help="default: the backbone's own; a file that does not say needs it",
    )


def add_precision_option(parser: argparse.ArgumentParser, default: str) -> None:
    """Add `--precision`; `auto` is int8 where the CPU gains from it and its parity holds."""
    parser.add_argument(
        "--precision",
        choices=["auto", "fp32", "int8"],
        default=default,
        help="auto: int8 where this CPU gains from it and its measured parity holds, else fp32 "
        f"(default: {default})",
    )
