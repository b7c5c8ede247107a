"""Images in, cached backbone features, a trained head out."""

import sys
from importlib.util import find_spec
from pathlib import Path


def _foreign_cache() -> str | None:
    """Return the place of another `cache` that hides this product's own; None if none does.

    `python -m` looks in the current folder first. Nothing of what lies there is executed.
    """
    spec = find_spec("cache")
    place = spec.origin if spec is not None else None
    if place is not None and Path(place).parent == Path(__file__).parents[1] / "cache":
        return None
    return place or "a folder without __init__.py"


_hidden_by = None if "cache.failures" in sys.modules else _foreign_cache()
if _hidden_by is not None:
    _message = (
        f"{_hidden_by} hides the package `cache` of Onceover; run `onceover ...` instead of "
        "`python -m engine...`, or from another folder"
    )
    if sys.argv[:1] == ["-m"]:  # as Python has it while `python -m` looks for the module
        sys.exit(_message)
    raise ImportError(_message)
