"""Images in, cached backbone features, a trained head out."""

import sys
from importlib.util import find_spec
from os.path import dirname, join  # pathlib takes longer to import than all else here


def _foreign_cache() -> str | None:
    """Return the place of another `cache` that hides this product's own; None if none does.

    `python -m` looks in the current folder first. Nothing of what lies there is executed.
    """
    spec = find_spec("cache")
    place = spec.origin if spec is not None else None
    own = join(dirname(dirname(__file__)), "cache")  # noqa: PTH118, PTH120
    if place is not None and dirname(place) == own:  # noqa: PTH120
        return None
    return place or "a folder without __init__.py"


# As Python has it while `python -m` looks for the module.
_is_command = sys.argv[:1] == ["-m"]
_hidden_by = None if "cache.failures" in sys.modules else _foreign_cache()
if _hidden_by is not None:
    _message = (
        f"{_hidden_by} hides the package `cache` of Onceover; run `onceover ...` instead of "
        "`python -m engine...`, or from another folder"
    )
    if _is_command:
        sys.exit(_message)
    raise ImportError(_message)
if _is_command:
    from cache.commandline.early import say_interrupts

    say_interrupts()
