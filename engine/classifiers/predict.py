"""The job of `python -m engine.predict`: head, its backbone, images, and what is said of them."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from cache.failures import Interrupted
from engine.backbones.backbone import Backbone
from engine.classifiers.classify import Classifier
from engine.classifiers.find_backbone import NamedBackbone, backbone_of
from engine.classifiers.output import Outcome, write_csv, write_json, write_text
from engine.graphs.session import BATCH_SIZE, available_cores
from engine.heads.head import load_head
from engine.process.stop import stop_request

_WRITERS: Mapping[str, Callable[..., Outcome]] = MappingProxyType(
    {"text": write_text, "csv": write_csv, "json": write_json}
)


@dataclass(frozen=True)
class PredictOptions:
    """The options of `python -m engine.predict`; None stands for what is found or tuned.

    form: `text`, `csv` or `json`.
    named: the backbone as the user names it.
    """

    images: Sequence[str]
    head: str
    form: str = "text"
    cache: str | None = None
    named: NamedBackbone | None = None
    batch_size: int | None = None
    threads: int | None = None


def predict(options: PredictOptions, say: Callable[[str], None], *, progress: bool) -> Outcome:
    """Classify images and write what is found to stdout; return how many there were.

    progress: whether to show it.

    Raises:
        Failure: the head or its backbone cannot be used, see their modules.
        Interrupted: at Ctrl-C, when what was under way is written.
    """
    started = time.perf_counter()
    head = load_head(options.head)
    model = backbone_of(head, Path(options.head), options.cache, options.named, say)
    classifier = Classifier(
        Backbone(model),
        head,
        options.batch_size or BATCH_SIZE,
        options.threads or available_cores(),
    )
    with stop_request(say) as stop:
        groups = classifier.classify(options.images, stop, quiet=not progress)
        outcome = _WRITERS[options.form](groups, head.classes)
        if stop.is_set():
            raise Interrupted(f"stopped after {outcome.predicted + outcome.failed} images")
    seconds = time.perf_counter() - started
    say(f"{outcome.predicted} images classified, {outcome.failed} failed; {seconds:.1f} s")
    return outcome
