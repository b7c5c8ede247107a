"""Templates into pages: one self-contained file, everything that comes from outside escaped."""

from datetime import datetime, timezone
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cache.commandline.printable import printable

# Characters of a text from outside that are shown.
_SHOWN = 160


def render(template: str, **context: Any) -> str:
    """Return a page of one of `templates`.

    Text is escaped and shown on one line, whatever it says; only `Markup` goes in as it is.
    """
    shared = {
        "date": f"{datetime.now(timezone.utc):%d %B %Y}",
        "version": _version(),
        "newline": Markup("\n"),
    }
    return _environment().get_template(template).render(**shared, **context)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("engine.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters["percent"] = percent
    return environment


def percent(share: float | None) -> str:
    """Return a share as the pages write all shares; a dash for none."""
    return "–" if share is None or share != share else f"{share * 100:.2f} %"  # noqa: RUF001


def _shown(value: Any) -> Any:
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return printable(value, _SHOWN)


def _version() -> str:
    try:
        return version("onceover")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return ""
