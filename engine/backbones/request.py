"""A backbone as a user asks for it: checked, completed, and what to do about what does not fit."""

import difflib
import logging
from dataclasses import dataclass, replace
from pathlib import Path

from cache.failures import Failure, UsageFailure
from engine.backbones.architectures import ARCHITECTURES, Architecture
from engine.backbones.preprocessing import canonical_preprocessing

_log = logging.getLogger(__name__)

# `auto` is int8 where it pays on this CPU and holds on the images, else fp32.
PRECISIONS = ("auto", "fp32", "int8", "fast")
# How a map (or tokens) becomes a vector: flattened, or by its average or maximum over positions.
POOLS = ("none", "avg", "max")

# Pixels a side of the images that a backbone takes.
MAX_SIDE = 4096


@dataclass(frozen=True)
class Geometry:
    """The size of images, and how a map becomes a vector.

    pool: one of POOLS. size: (height, width); None for the network's own.
    """

    pool: str = "none"
    size: tuple[int, int] | None = None


ITS_OWN = Geometry()


@dataclass(frozen=True)
class BackboneRequest:
    """A backbone as a user asks for it: the options of that name, checked and completed.

    backbone: name of an architecture, or path of a `.keras` or `.onnx` file.
    weights: `imagenet`, `random:SEED` or path of a file; `own` where the backbone is a file.
    layer: None for a file's own output.
    """

    backbone: str
    weights: str
    layer: str | None
    preprocessing: str | None
    geometry: Geometry = ITS_OWN

    @property
    def is_file(self) -> bool:
        """Whether the backbone is a file of the user's."""
        return self.backbone not in ARCHITECTURES

    @property
    def seed(self) -> int | None:
        """The seed of random weights; None for other weights."""
        kind, _, seed = self.weights.partition(":")
        return int(seed) if kind == "random" and seed.isdecimal() else None

    def options(self) -> list[str]:
        """Return the request as options of the commands that take a backbone."""
        options = ["--backbone", self.backbone]
        options += [] if self.is_file else ["--weights", self.weights]
        options += ["--layer", self.layer] if self.layer else []
        options += ["--preprocessing", self.preprocessing] if self.preprocessing else []
        options += ["--pool", self.geometry.pool] if self.geometry.pool != "none" else []
        if self.geometry.size is not None:
            options += ["--size", "x".join(map(str, self.geometry.size))]
        return options


def size_of(text: str) -> tuple[int, int]:
    """Return (height, width) of a size as users write it, `224` or `240x320`.

    Raises:
        UsageFailure: it is none.
    """
    sides = text.lower().split("x")
    if not 1 <= len(sides) <= 2 or not all(s.isdecimal() and 0 < int(s) <= MAX_SIDE for s in sides):
        raise UsageFailure(f"size {text}: give pixels a side, as 224 or 240x320, up to {MAX_SIDE}")
    return int(sides[0]), int(sides[-1])


def backbone_request(
    backbone: str,
    weights: str,
    layer: str | None,
    preprocessing: str | None,
    geometry: Geometry = ITS_OWN,
) -> BackboneRequest:
    """Check and complete a request.

    Raises:
        UsageFailure: its parts do not fit together.
        Failure: one of its files is a pointer to it, or a page, and not the file.
    """
    if geometry.pool not in POOLS:
        raise UsageFailure(f"no pooling {geometry.pool!r}; choose from: {', '.join(POOLS)}")
    if preprocessing is not None:
        preprocessing = canonical_preprocessing(preprocessing)
    if backbone in ARCHITECTURES:
        architecture = ARCHITECTURES[backbone]
        if weights.startswith("random:") and not weights[len("random:") :].isdecimal():
            raise UsageFailure(f"weights {weights}: the seed is a number, as in random:0")
        if weights != "imagenet" and not weights.startswith("random:"):
            weights = _existing(weights, "weights", "imagenet, random:SEED or a file")
            if layer is None and _lacks_top(architecture, Path(weights)):
                layer, geometry = _without_top(architecture, geometry)
        layer, _ = architecture.cut(layer)
        if geometry.size is not None and not architecture.cuts[layer].any_size:
            raise UsageFailure(
                f"{backbone} to {layer} takes images of one size; "
                "leave the size out, or cut earlier"
            )
        return BackboneRequest(
            backbone, weights, layer, preprocessing or architecture.preprocessing, geometry
        )
    known = "the name of a network of keras.applications, or a .keras or .onnx file"
    if not backbone.lower().endswith((".keras", ".onnx")):
        raise UsageFailure(f"backbone {backbone}: {_advice(backbone) or _close(backbone, known)}")
    if weights not in ("imagenet", "own"):  # imagenet is the default, which nobody gave
        raise UsageFailure(f"weights {weights}: {backbone} brings its own; leave them out")
    return BackboneRequest(
        _existing(backbone, "backbone", known), "own", layer, preprocessing, geometry
    )


def _lacks_top(architecture: Architecture, weights: Path) -> bool:
    """Tell whether a file is too small for the fully connected layers, as a `notop` file is."""
    _, cut = architecture.cut(None)
    return architecture.with_top and weights.stat().st_size < 4 * cut.parameters // 2


def _without_top(architecture: Architecture, geometry: Geometry) -> tuple[str, Geometry]:
    """Return the last cut before the fully connected layers, and a pooling of its map."""
    layer = list(architecture.cuts)[-1]
    if geometry.pool == "none":
        geometry = replace(geometry, pool="avg")
    _log.info(
        "the weights end before the fully connected layers: %s to %s, pooled by %s, is taken",
        architecture.name,
        layer,
        geometry.pool,
    )
    return layer, geometry


def _close(name: str, known: str) -> str:
    close = difflib.get_close_matches(name.lower(), ARCHITECTURES, 2)
    return f"{f'did you mean {close[0]}? ' if close else ''}choose {known}"


def _advice(name: str) -> str | None:
    """Return what to do with a network of a form that is not taken; None for any other name."""
    ending = Path(name).suffix.lower()
    if ending in (".h5", ".hdf5"):
        return (
            "a network in .h5 may hold code; make a .keras file of one that you trust: "
            f'python -c "import keras; keras.models.load_model({name!r}, compile=False)'
            f'.save({str(Path(name).with_suffix(".keras"))!r})" (weights alone: as weights)'
        )
    if (Path(name) / "saved_model.pb").is_file() or Path(name).name == "saved_model.pb":
        folder = Path(name).parent if ending == ".pb" else Path(name)
        return (
            "a SavedModel holds a program; make an ONNX file of it: python -m tf2onnx.convert "
            f"--saved-model {folder} --output {folder.name}.onnx --opset 17"
        )
    if ending in (".pt", ".pth", ".ckpt", ".safetensors", ".bin"):
        return "weights of torch come without their network; export it by torch.onnx.export"
    return None


def _existing(name: str, option: str, known: str) -> str:
    if not Path(name).is_file():
        raise UsageFailure(f"{option} {name}: there is no such file; choose from {known}")
    from engine.sources.foreign import HEAD_BYTES, instead_of_file
    from engine.sources.regular import read_first  # which imports much

    if instead := instead_of_file(read_first(Path(name), HEAD_BYTES)):
        raise Failure(f"{option} {name} is {instead}")
    return str(Path(name).resolve())
