"""Run a frozen backbone once over every image, keep its features, train heads in seconds.

>>> from onceover import CachedBackbone, FeatureCache, load_classifier

Each name is imported when it is first asked for: `import onceover` costs next to nothing.
"""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cache.failures import Failure as Failure
    from engine.estimators.cached_backbone import CachedBackbone as CachedBackbone
    from engine.estimators.classifier import Classifier as Classifier
    from engine.estimators.classifier import load_classifier as load_classifier
    from engine.estimators.feature_cache import FeatureCache as FeatureCache
    from engine.estimators.fit import write_fit as write_fit
    from engine.heads.features import Features as Features
    from engine.heads.head import Head as Head
    from engine.process.progress import ProgressBar as ProgressBar

_MODULES: Mapping[str, str] = MappingProxyType(
    {
        "CachedBackbone": "engine.estimators.cached_backbone",
        "Classifier": "engine.estimators.classifier",
        "Failure": "cache.failures",
        "FeatureCache": "engine.estimators.feature_cache",
        "Features": "engine.heads.features",
        "Head": "engine.heads.head",
        "ProgressBar": "engine.process.progress",
        "load_classifier": "engine.estimators.classifier",
        "write_fit": "engine.estimators.fit",
    }
)

__all__ = [
    "CachedBackbone",
    "Classifier",
    "Failure",
    "FeatureCache",
    "Features",
    "Head",
    "ProgressBar",
    "load_classifier",
    "write_fit",
]


def __getattr__(name: str) -> Any:
    """Import a public name."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
