"""From a head on disk to a classifier that runs."""

from pathlib import Path

from cache.failures import Failure, UsageFailure
from cache.store import FeatureCache
from engine.backbones.backbone import Backbone
from engine.classifiers.classify import Classifier
from engine.classifiers.find_backbone import NamedBackbone, backbone_of
from engine.heads.head import FILE_NAME, load_head
from engine.images.formats import VIEWS


def open_classifier(
    path: str | Path,
    cache: str | Path | None = None,
    named: NamedBackbone | None = None,
    *,
    views: int = 1,
) -> Classifier:
    """Return the classifier of a head: its folder as `fit_head` wrote it, or its file.

    cache: a further cache to look for the backbone in. named: the backbone as far as it is named.
    views: see Classifier.

    Raises:
        Failure: the head or its backbone cannot be used, see their modules.
    """
    if views not in VIEWS:
        raise UsageFailure(f"{views} views: choose from {', '.join(map(str, VIEWS))}")
    head = load_head(path)
    return Classifier(Backbone(backbone_of(head, Path(path), cache, named)), head, views)


def newest_head(cache: str | Path) -> Path:
    """Return the folder of a cache's newest head. Failure if the cache has none."""
    folder = FeatureCache.open(cache).path / "heads"
    heads = [path for path in folder.glob(f"*/{FILE_NAME}") if path.is_file()]
    if not heads:
        raise Failure(f"{cache} has no head yet; train one on its features")
    return max(heads, key=lambda path: (path.stat().st_mtime_ns, path)).parent
