"""A cache of features, as people hold it in Python."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cache import store
from cache.failures import UsageFailure
from cache.files import home_path
from engine.heads.features import Features
from engine.heads.open_features import open_features


@dataclass(frozen=True)
class FeatureCache:
    """A cache directory, whose features are read without their backbone.

    >>> from onceover import FeatureCache
    >>> pets = FeatureCache.open(cache).features()
    >>> pets.X.shape, pets.classes
    ((24, 24), ('spots', 'stripes'))
    """

    path: Path

    @classmethod
    def open(cls, path: str | Path) -> "FeatureCache":
        """Open an existing cache. Failure if there is none, or a newer release wrote it."""
        return cls(store.FeatureCache.open(home_path(path)).path)

    def spaces(self) -> dict[str, str]:
        """Return the ids of the feature spaces, each with what it is in a few words."""
        return {space.id: space.title for space in self._store.spaces()}

    def datasets(self, space: str | None = None) -> list[str]:
        """Return the names of a space's datasets: where its images are from.

        `python` are those that were transformed.

        Raises: as `features`.
        """
        return self._store.space(space).datasets()

    def features(
        self,
        space: str | None = None,
        dataset: str | Path | Sequence[str | Path] | None = None,
        *,
        datasets: Sequence[str] | None = None,
    ) -> Features:
        """Return features with their labels.

        space: the beginning of an id; None for the only one.
        dataset: a name of `datasets()`, the path of a source, or several; None for all sources,
            and for images that were transformed only where there are no sources.
        datasets: the same under its earlier name; give one of the two.

        Raises:
            UsageFailure: there is no such space or dataset, or several spaces to choose from.
        """
        if dataset is not None and datasets is not None:
            raise UsageFailure("dataset and datasets are the same; give one of them")
        chosen = datasets if dataset is None else dataset
        if isinstance(chosen, str | Path):
            chosen = [chosen]
        names = None if chosen is None else [str(name) for name in chosen]
        return open_features(self._store.space(space), names)

    @property
    def _store(self) -> store.FeatureCache:
        return store.FeatureCache.open(self.path)
