"""The page of an exported classifier, beside it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cache.failures import UsageFailure
from cache.files import write_whole

# From what a classifier says of itself, and its file, to a line on what was written.
WritePage = Callable[[Mapping[str, Any], Path], str]


def page_writer(page: str | None, runtime: str | None, *, force: bool) -> WritePage:
    """Return what writes the page, after all that can be asked before a long export was asked.

    page: where to; None for none. runtime: the folder of ONNX Runtime Web; None to look for it.
    force: whether to replace a file that is no page of ours.

    Raises:
        UsageFailure: a runtime is named without a page, or there is no folder to write in.
        Failure: there is no runtime, or a file that is no page of ours is there.
    """
    if page is None:
        if runtime is not None:
            raise UsageFailure("a runtime is named, but no page that it would run")
        return _no_page
    from engine.pages.classifier import MOST_INSIDE, check_page, classifier_page, web_runtime

    path = Path(page)
    check_page(path, force=force)
    web = web_runtime(None if runtime is None else Path(runtime))

    def write(record: Mapping[str, Any], model: Path) -> str:
        inside = model.stat().st_size <= MOST_INSIDE
        if not inside and model.parent.resolve() != path.parent.resolve():
            raise UsageFailure(
                f"{model.name} has over {MOST_INSIDE / 1e6:.0f} MB and stays out of its page; "
                "write both into one folder"
            )
        write_whole(path, classifier_page(record, model, web).encode("utf-8"))
        where = "the model is in it" if inside else f"needs {model.name} beside it"
        return f"page: {path}, {path.stat().st_size / 1e6:.1f} MB, {where}"

    return write


def _no_page(record: Mapping[str, Any], model: Path) -> str:
    del record, model
    return ""
