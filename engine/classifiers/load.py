"""From a head on disk to a classifier that runs."""

from pathlib import Path

from engine.backbones.backbone import Backbone
from engine.classifiers.classify import Classifier
from engine.classifiers.find_backbone import NamedBackbone, backbone_of
from engine.heads.head import load_head


def open_classifier(
    path: str | Path, cache: str | Path | None = None, named: NamedBackbone | None = None
) -> Classifier:
    """Return the classifier of a head: its folder as `fit_head` wrote it, or its file.

    cache: a further cache to look for the backbone in. named: the backbone as far as it is named.

    Raises:
        Failure: the head or its backbone cannot be used, see their modules.
    """
    head = load_head(path)
    return Classifier(Backbone(backbone_of(head, Path(path), cache, named)), head)
