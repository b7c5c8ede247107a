"""Where an export may be written: never over what is not an earlier export."""

from collections.abc import Iterable
from pathlib import Path

from cache.failures import Failure, UsageFailure
from cache.files import read_bounded
from engine.backbones.model import METADATA_KEY

# What protobuf can hold, and so an ONNX file.
_MAX_BYTES = 2**31 - 1


def check_output(path: Path, inputs: Iterable[str | Path | None], *, force: bool = False) -> None:
    """Check that a file may be written.

    inputs: files and folders that the export reads; None and what is no path of a file are passed
        over. force: whether a file that no export wrote may be replaced; an input may not, nor
        anything in a folder that is one.

    Raises:
        UsageFailure: it is one of the inputs, or there is no folder to write it in.
        Failure: it is a file that no export wrote.
    """
    if not path.parent.is_dir():
        raise UsageFailure(f"there is no folder {path.parent} to write {path.name} in")
    if path.is_dir():
        raise UsageFailure(f"{path} is a folder; give a file to write")
    if not path.exists():
        return
    exported = _is_export(path)
    for given in inputs:
        if given is None or not Path(given).exists():
            continue
        if path.samefile(given):
            raise UsageFailure(f"{path} is what is to be exported; give another file to write")
        if not exported and path.resolve().is_relative_to(Path(given).resolve()):
            raise UsageFailure(f"{path} is in {given}, which is read; give another file to write")
    if not force and not exported:
        raise Failure(
            f"{path} is there and was not written by an export; give another file, or force it"
        )


def _is_export(path: Path) -> bool:
    import onnx  # which nothing else of the check needs
    from google.protobuf.message import DecodeError

    try:
        model = onnx.ModelProto.FromString(read_bounded(path, _MAX_BYTES))
    except (DecodeError, OSError, ValueError):
        return False
    return any(entry.key == METADATA_KEY for entry in model.metadata_props)
