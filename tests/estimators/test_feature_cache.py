"""A cache in Python, without its backbone."""

import numpy as np
import pytest

from cache.failures import Failure, UsageFailure
from engine.estimators.feature_cache import FeatureCache


def test_it_gives_the_features_that_an_extraction_gave(backbone, pictures):
    features = backbone.extract(pictures)
    cache = FeatureCache.open(backbone.cache)
    again = cache.features()
    np.testing.assert_array_equal(again.X, features.X)
    assert again.paths == features.paths
    ((space, title),) = cache.spaces().items()
    assert "fp32" in title
    assert cache.datasets() == [str(pictures)]
    assert len(cache.features(space[:4], [str(pictures)])) == 24
    with pytest.raises(UsageFailure, match="there is no dataset nowhere"):
        cache.features(datasets=["nowhere"])


def test_no_cache_is_one_line(tmp_path):
    with pytest.raises(Failure, match="is not a cache"):
        FeatureCache.open(tmp_path)
