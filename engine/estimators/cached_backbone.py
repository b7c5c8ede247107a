"""A frozen backbone with a cache, as a transformer of scikit-learn."""

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from cache.failures import Failure
from engine.backbones.request import Geometry, backbone_request, size_of
from engine.estimators.inputs import items_of
from engine.heads.features import Features
from engine.heads.open_features import open_features
from engine.images.framing import Framing
from engine.process.execution import Execution
from engine.process.progress import Progress, no_progress
from engine.runner.extract import Extractor, FeatureRequest
from engine.runner.items import extract_items
from engine.runner.survey import Selection, survey
from engine.runner.until_steady import extract_until_steady
from engine.sources.base import SourceOptions

_log = logging.getLogger(__name__)


class CachedBackbone(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Images -> the features of a frozen backbone, each image's computed once, whatever its name.

    >>> from onceover import CachedBackbone
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> backbone = CachedBackbone(backbone_file, preprocessing="tf", cache=cache)
    >>> model = make_pipeline(backbone, LogisticRegression()).fit(paths, labels)
    >>> model.predict(paths[:1])
    array(['spots'], dtype='<U7')

    backbone: the name of an architecture (`vgg16`, `mobilenet_v2`), or a `.keras` or `.onnx` file.
    cache: the directory that features are kept in; it is made where there is none.
    weights: `imagenet`, which Keras downloads once, `random:SEED`, or a file; not for files that
        bring their own.
    layer: where the network is cut; None for its own output.
    pool: of a map or of tokens: `none`, `avg` or `max` over positions.
    size: of the pictures, pixels a side or (height, width), for a network that takes any; None for
        its own.
    preprocessing: how pixels are scaled; None for the network's own, which a file may not say.
    precision: `auto`, `fp32`, `int8` or `fast`; what a cache has decided once stays.
    interpolation: of the resize: `bilinear`, `nearest`, `bicubic` or `lanczos`.
    crop: `squash`, the whole picture, or `center`, its middle with the aspect kept.
    on_error: `raise` a Failure that names an image that gives no feature, or `nan` for a row of
        NaN in its place.
    threads: that decode and run; None for one on each core.
    progress: is told how many of how many images are done.

    Nothing is learnt: `fit` only checks the parameters, and `transform` works without it. Images
    are paths (a list, an array, a pandas Series), bytes of encoded files, PIL images or arrays,
    uint8 (H, W, 3) RGB. Their digests are recorded in the cache under the dataset `python`, which
    heads, reviews and `FeatureCache.features` leave aside unless it is named.
    """

    def __init__(
        self,
        backbone: str = "vgg16",
        *,
        cache: str | Path,
        weights: str = "imagenet",
        layer: str | None = None,
        pool: str = "none",
        size: int | tuple[int, int] | None = None,
        preprocessing: str | None = None,
        precision: str = "auto",
        interpolation: str = "bilinear",
        crop: str = "squash",
        on_error: str = "raise",
        threads: int | None = None,
        progress: Progress = no_progress,
    ) -> None:
        self.backbone = backbone
        self.cache = cache
        self.weights = weights
        self.layer = layer
        self.pool = pool
        self.size = size
        self.preprocessing = preprocessing
        self.precision = precision
        self.interpolation = interpolation
        self.crop = crop
        self.on_error = on_error
        self.threads = threads
        self.progress = progress

    def fit(self, X: Any, y: Any = None) -> "CachedBackbone":
        """Check the parameters and return self; neither images nor labels are looked at.

        Raises:
            Failure: the parameters do not fit together.
        """
        del X, y
        self._request()
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the features of images, float32 (N, D), in their order.

        Images that the cache holds cost their reading; new ones are computed and kept. Another
        process that computes features of the same kind is waited for.

        Raises:
            Failure: an image gives no feature, and `on_error` is `raise`.
            TypeError, ValueError: something is no image.
        """
        result = extract_items(items_of(X), self._extractor(), self._execution())
        if result.rejected and self.on_error == "raise":
            place, (name, reason) = next(iter(result.rejected.items()))
            others = len(result.rejected) - 1
            more = f" (and {others} more)" if others else ""
            raise Failure(
                f"image {place}, {name}, gives no feature: {reason}{more}; leave it out, or have "
                "a row of NaN instead by on_error='nan'"
            )
        return result.features

    def extract(
        self,
        source: str | Path,
        *,
        fraction: float | None = None,
        limit_per_class: int | None = None,
        seed: int = 0,
        labels: str | None = None,
        splits: str = "auto",
        until_steady: bool = False,
        steady_points: float = 0.5,
    ) -> Features:
        """Bring a source's images into the cache and return their features with their labels.

        source: a folder, archive or table, as the command `extract` takes it.
        fraction: of each class, above 0 and at most 1; None for all.
        limit_per_class: at most so many of each class; None for all.
        seed: of that choice, and of the order.
        labels: `folder`, `column`, `none`, or a regular expression over the path whose one group
            is the label; None for what the source shows.
        splits: whether folders are splits: `auto`, `folders` or `none`.
        until_steady: stop when twice the images would not change a head's accuracy by
            `steady_points`, hundredths of it.

        Raises:
            TypeError: a list is given; `transform` takes lists of images.
            Failure: the source, the backbone or the cache cannot be used.
        """
        if not isinstance(source, str | os.PathLike):
            raise TypeError(
                f"one {type(source).__name__} is no source: a folder, archive or table is; "
                "transform takes a list of images"
            )
        selection = Selection(fraction, limit_per_class, seed)
        with survey(source, selection, SourceOptions(labels, splits)) as images:
            # What was found and guessed is said before anything is run.
            for line in images.lines():
                _log.info(line)
            for line in images.source.warnings:
                _log.warning(line)
            extractor, execution = self._extractor(), self._execution()
            if until_steady:
                extraction = extract_until_steady(extractor, images, steady_points, execution)
            else:
                extraction = extractor.extract(images, execution)
        if extraction.steady is not None and extraction.steady.stopped:
            _log.info("more images would hardly change the accuracy, so the rest was left out")
        return open_features(extraction.space, [images.dataset])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return a name for each of the D floats of a feature: object (D,)."""
        del input_features
        width = self._extractor().model.description.features
        return np.array([f"feature_{number}" for number in range(width)], object)

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn is to know: images, not a matrix, and nothing to fit."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.requires_fit = False
        tags.no_validation = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        """Return True: there is nothing to learn."""
        return True

    def __getstate__(self) -> dict[str, Any]:
        """Return the parameters: what is loaded stays behind."""
        state = dict(super().__getstate__())
        state.pop("_open", None)
        return state

    def _request(self) -> FeatureRequest:
        if self.on_error not in ("raise", "nan"):
            raise ValueError(f"on_error is {self.on_error!r}; give 'raise' or 'nan'")
        geometry = Geometry(self.pool, self._size())
        request = backbone_request(
            str(self.backbone), self.weights, self.layer, self.preprocessing, geometry
        )
        return FeatureRequest(request, self.precision, Framing(self.interpolation, self.crop))

    def _size(self) -> tuple[int, int] | None:
        """Return (height, width), or None. ValueError for anything else."""
        if self.size is None:
            return None
        height, width = np.broadcast_to(self.size, 2)
        return size_of(f"{height}x{width}")

    def _extractor(self) -> Extractor:
        """Return what extracts by the parameters as they are; it stays while they do."""
        request = self._request()
        key = (str(self.cache), request)
        if getattr(self, "_open", (None,))[0] != key:
            self._open: tuple[Any, Extractor] = key, Extractor(self.cache, request)
        return self._open[1]

    def _execution(self) -> Execution:
        return Execution(threads=self.threads, progress=self.progress)
