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


def test_what_was_transformed_counts_where_it_is_named(backbone, pictures, paths):
    (pictures / "spots" / "text.jpg").write_text("no image")
    features = backbone.extract(pictures)
    array = np.random.default_rng(0).integers(0, 256, (1, 40, 40, 3), np.uint8)
    backbone.set_params(on_error="nan").transform(array)
    backbone.transform([paths[0], str(pictures / "spots" / "text.jpg")])
    cache = FeatureCache.open(backbone.cache)
    again = cache.features()
    assert again.paths == features.paths
    assert again.rejected == features.rejected
    assert again.datasets == (str(pictures),)
    transformed = cache.features(dataset="python")
    assert (len(transformed), transformed.classes) == (2, ())
    assert len(cache.features(dataset=[str(pictures), "python"])) == 25
    assert cache.datasets() == [str(pictures), "python"]


def test_what_was_transformed_is_all_where_nothing_else_is(backbone, paths):
    backbone.transform(paths[:3])
    assert len(FeatureCache.open(backbone.cache).features()) == 3


def test_a_dataset_is_named_by_its_name_or_path_or_several(backbone, pictures):
    backbone.extract(pictures)
    backbone.extract(pictures / "spots")
    cache = FeatureCache.open(backbone.cache)
    assert len(cache.features(dataset=pictures / "spots")) == 12
    assert len(cache.features(dataset="spots")) == 12
    assert len(cache.features(dataset=("spots", pictures))) == 24
    assert len(cache.features(datasets="spots")) == 12
    with pytest.raises(UsageFailure, match="give one of them"):
        cache.features(dataset="spots", datasets=["spots"])


def test_no_cache_is_one_line(tmp_path):
    with pytest.raises(Failure, match="is not a cache"):
        FeatureCache.open(tmp_path)
