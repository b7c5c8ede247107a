"""A page that classifies pictures in the browser: all in it, nothing is requested or sent."""

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from cache.commandline.printable import printable
from cache.failures import Failure, UsageFailure
from engine.pages.render import render

# Bytes of a model that goes into the page; a larger one stays beside it.
MOST_INSIDE = 40 * 10**6

# What every page of ours says of itself, near its beginning.
_MARK, _MARKED_WITHIN = b'<meta name="generator" content="onceover">', 2000

_PACKAGE = "onnxruntime-web"
_SCRIPT, _WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"

# The script may be of some version that has grown; a file of another kind is not read whole.
_MAX_RUNTIME_BYTES = 64 * 2**20


@dataclass(frozen=True)
class WebRuntime:
    """ONNX Runtime for browsers: its script and its WebAssembly, and which version."""

    script: bytes
    wasm: bytes
    version: str


def web_runtime(folder: Path | None = None) -> WebRuntime:
    """Read ONNX Runtime Web, as npm installs it.

    folder: of the package; None for the nearest `node_modules` from the current folder upwards.

    Raises:
        Failure: it is not there.
    """
    here = Path.cwd()
    places = [place / "node_modules" / _PACKAGE for place in (here, *here.parents)]
    for place in places if folder is None else [folder, folder / "node_modules" / _PACKAGE]:
        try:
            about = json.loads((place / "package.json").read_text(encoding="utf-8"))
            if about["name"] != _PACKAGE:
                continue
            parts = [_part(place / "dist" / name) for name in (_SCRIPT, _WASM)]
            return WebRuntime(parts[0], parts[1], str(about["version"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
    where = "here or above" if folder is None else f"in {printable(str(folder))}"
    raise Failure(
        f"a page runs by {_PACKAGE}, and there is none {where}: npm install {_PACKAGE}, or say in "
        "which folder it is"
    )


def _part(path: Path) -> bytes:
    if path.stat().st_size > _MAX_RUNTIME_BYTES:
        raise ValueError(f"{path} is not a part of {_PACKAGE}")
    return path.read_bytes()


def classifier_page(record: Mapping[str, Any], model: Path, runtime: WebRuntime) -> str:
    """Return a page that classifies pictures by an exported classifier.

    record: what the classifier says of itself. model: its file; one of more than MOST_INSIDE bytes
    stays where it is, and the page, which must be beside it, asks for it where it cannot fetch it.
    """
    inside = model.stat().st_size <= MOST_INSIDE
    classes: Sequence[str] = [printable(name, 160) for name in record["classes"]]
    settings = {
        "height": record["height"],
        "width": record["width"],
        "interpolation": record["interpolation"],
        "crop": record.get("crop", "squash"),
        "model": {"inside": inside, "name": model.name},
    }
    return render(
        "classifier.html",
        title=" / ".join(classes) if len(classes) <= 4 else f"{len(classes)} classes",
        classes=classes,
        settings=settings,
        facts=[(name, str(record[name])) for name in ("backbone", "layer", "precision", "space")],
        runtime={
            "script": _packed(runtime.script),
            "wasm": _packed(runtime.wasm),
            "version": runtime.version,
        },
        model=_packed(model.read_bytes()) if inside else Markup(),
    )


def check_page(path: Path, *, force: bool = False) -> None:
    """Check that a page may be written.

    Raises:
        UsageFailure: it is a folder, or there is none to write it in.
        Failure: it is there and no page of ours; not asked where it is forced.
    """
    if not path.parent.is_dir():
        raise UsageFailure(f"there is no folder {path.parent} to write {path.name} in")
    if path.is_dir():
        raise UsageFailure(f"{path} is a folder; give a file to write")
    if force or not path.exists():
        return
    with path.open("rb") as file:
        if _MARK not in file.read(_MARKED_WITHIN):
            raise Failure(f"{path} is there and is no page of ours; give another file, or force it")


def _packed(data: bytes) -> Markup:
    """Return bytes as base64 of gzip: the runtime's become a third."""
    text = base64.b64encode(gzip.compress(data, 6, mtime=0)).decode("ascii")
    return Markup(text)  # noqa: S704 - base64 alone
