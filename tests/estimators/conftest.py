"""A small backbone, pictures of two kinds and the paths to them, for the Python API."""

import pytest

from engine.estimators.cached_backbone import CachedBackbone


@pytest.fixture
def paths(pictures):
    return sorted(str(path) for path in pictures.glob("*/*.jpg"))


@pytest.fixture
def labels(paths):
    return ["spots" if "/spots/" in path.replace("\\", "/") else "stripes" for path in paths]


@pytest.fixture
def cache(tmp_path):
    return str(tmp_path / "cache")


@pytest.fixture
def backbone(tiny_backbone, cache):
    return CachedBackbone(str(tiny_backbone), preprocessing="tf", cache=cache)
