"""The options that choose a backbone, the same for each command that has one."""

import argparse

from cache.commandline.options import Options, path
from engine.backbones.listing import ListBackbones
from engine.backbones.preprocessing import PREPROCESSINGS
from engine.backbones.request import (
    POOLS,
    PRECISIONS,
    BackboneRequest,
    Geometry,
    backbone_request,
    size_of,
)
from engine.images.formats import INTERPOLATIONS
from engine.images.framing import CROPS, SQUASHED, Framing


def add_backbone_options(
    parser: Options, backbone: str = "vgg16", weights: str = "imagenet"
) -> None:
    """Add the options that choose a backbone; `request_from` reads them.

    None stands for what was not given: where a head is given, the head says which backbone.

    backbone, weights: what the help calls the defaults.
    """
    parser.add_argument(
        "--backbone",
        type=path,
        metavar="NAME|FILE",
        help=f"an image network of Keras by name, a .keras or an .onnx file (default: {backbone})",
    )
    parser.add_argument(
        "--list-backbones", action=ListBackbones, help="list the names with their sizes, and stop"
    )
    parser.add_argument(
        "--weights",
        type=path,
        metavar="imagenet|FILE|random:SEED",
        help="imagenet (Keras downloads them), a weights file, or random ones "
        f"(default: {weights})",
    )
    parser.add_argument("--layer", metavar="NAME", help="where to cut (default: fc2 for vgg16)")
    parser.add_argument(
        "--pool",
        choices=POOLS,
        help="average or maximum over the positions of a map, or over tokens (default: none)",
    )
    parser.add_argument(
        "--size",
        metavar="N|HxW",
        help="of the pictures, for a network that takes any (default: the network's own)",
    )
    parser.add_argument(
        "--preprocessing",
        metavar="NAME|NUMBERS",
        help=f"{', '.join(PREPROCESSINGS)}, or means and deviations on 0..255, as "
        "123.7,116.8,103.9/58.4,57.1,57.4, with bgr: before them for that order (default: the "
        "backbone's own; a file that does not say needs it)",
    )


def add_precision_option(parser: Options, default: str | None, shown: str | None = None) -> None:
    """Add `--precision`; `auto` is int8 where the CPU gains from it and its parity holds.

    shown: what the help calls the default, where that is not its name.
    """
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=default,
        help="auto: int8 where this CPU gains from it and its measured parity holds, else fp32; "
        "fast: fewer multiplications as well, features of another network, never taken by auto "
        f"(default: {shown or default})",
    )


def add_framing_options(parser: Options, use: str = "") -> None:
    """Add `--interpolation` and `--crop`: how pictures come to the backbone's size.

    `framing_from` reads them; None stands for what was not given.

    use: what the help says of when they are of use.
    """
    parser.add_argument(
        "--interpolation",
        choices=INTERPOLATIONS,
        help=f"{use}of the resize (default: bilinear; Keras' load_img uses nearest)",
    )
    parser.add_argument(
        "--crop",
        choices=CROPS,
        help=f"{use}squash: the whole picture, its aspect not kept; center: its middle, the short "
        "side to the size over 0.875, as torchvision evaluates (default: squash)",
    )


def request_from(arguments: argparse.Namespace) -> BackboneRequest:
    """Return the request that the backbone options make. UsageFailure if they do not fit."""
    return backbone_request(
        arguments.backbone or "vgg16",
        arguments.weights or "imagenet",
        arguments.layer,
        arguments.preprocessing,
        geometry_from(arguments),
    )


def geometry_from(arguments: argparse.Namespace) -> Geometry:
    """Return what `--pool` and `--size` say. UsageFailure for a size that is none."""
    size = None if arguments.size is None else size_of(arguments.size)
    return Geometry(arguments.pool or "none", size)


def framing_from(arguments: argparse.Namespace) -> Framing:
    """Return what `--interpolation` and `--crop` say."""
    return Framing(
        arguments.interpolation or SQUASHED.interpolation, arguments.crop or SQUASHED.crop
    )
