"""The options that choose a backbone, the same for each command that has one."""

import argparse


def add_backbone_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a backbone; `engine.model_store.request_from` reads them."""
    parser.add_argument(
        "--backbone",
        default="vgg16",
        metavar="NAME|FILE",
        help="vgg16, mobilenet_v2, a .keras or an .onnx file (default: vgg16)",
    )
    parser.add_argument(
        "--weights",
        default="imagenet",
        metavar="imagenet|FILE|random:SEED",
        help="imagenet (Keras downloads them), a weights file, or random ones (default: imagenet)",
    )
    parser.add_argument("--layer", metavar="NAME", help="where to cut (default: fc2 for vgg16)")
    parser.add_argument(
        "--preprocessing",
        choices=["caffe", "tf", "torch", "none"],
        help="default: the backbone's own; a file that does not say needs it",
    )
