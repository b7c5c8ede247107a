"""A trained head with its backbone, as people hold it in Python."""

from pathlib import Path
from typing import Any

import numpy as np

from cache.failures import Failure
from cache.files import home_path
from engine.classifiers import classify
from engine.classifiers.find_backbone import NamedBackbone
from engine.classifiers.load import open_classifier
from engine.estimators.inputs import items_of
from engine.heads.head import named_classes
from engine.process.execution import Execution
from engine.process.progress import Progress, no_progress
from engine.sources.memory import MemorySource


class Classifier:
    """Images -> labels and probabilities.

    >>> from onceover import load_classifier
    >>> classifier = load_classifier(head)
    >>> classifier.predict(paths[:1])
    array(['spots'], dtype='<U7')
    >>> classifier.predict_proba(paths[:1]).shape
    (1, 2)

    scikit-learn takes it for a classifier that is fitted: its metrics and displays work on it.
    """

    _estimator_type = "classifier"  # what scikit-learn before 1.6 asks

    def __init__(
        self, classifier: classify.Classifier, *, on_error: str = "raise", progress: Progress
    ) -> None:
        """Hold a classifier that was opened, see `load_classifier`."""
        self._classifier = classifier
        self._on_error, self._progress = on_error, progress

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the columns of `predict_proba`."""
        return self._classifier.head.classes

    @property
    def classes_(self) -> np.ndarray:
        """The same as scikit-learn has them: str (C,)."""
        return np.array(self.classes)

    def __repr__(self) -> str:
        """Say in a line what it is: its backbone with its precision, and its classes."""
        head = self._classifier.head
        return f"Classifier({head.title}, {named_classes(head.classes)})"

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn is to know: a classifier of images that needs no fit."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=False),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(two_d_array=False, string=True),
            requires_fit=False,
            no_validation=True,
        )

    def predict_proba(self, images: Any) -> np.ndarray:
        """Return the probability of each class for each image: float32 (N, C).

        images: as `CachedBackbone.transform` takes them.

        Raises:
            Failure: an image cannot be classified, and `on_error` is not `nan`.
            TypeError, ValueError: something is no image.
        """
        source = MemorySource(items_of(images))
        outcomes = {
            prediction.path: prediction
            for prediction in self._classifier.classify_source(
                source, Execution(progress=self._progress)
            )
        }
        probabilities = np.full((len(source.names), len(self.classes)), np.nan, np.float32)
        for place, name in enumerate(source.names):
            prediction = outcomes[name]
            if prediction.probabilities is not None:
                probabilities[place] = prediction.probabilities
            elif self._on_error != "nan":
                raise Failure(
                    f"image {place}, {name}, cannot be classified: {prediction.error}; leave it "
                    "out, or have a row of NaN instead by on_error='nan'"
                )
        return probabilities

    def predict(self, images: Any) -> np.ndarray:
        """Return the most probable class of each image: str (N,); empty for a row of NaN.

        Raises: as `predict_proba`.
        """
        probabilities = self.predict_proba(images)
        usable = np.isfinite(probabilities).all(axis=1)
        best = np.where(usable, np.where(usable[:, None], probabilities, 0).argmax(axis=1), -1)
        return np.array([*self.classes, ""])[best]

    def score(self, X: Any, y: Any) -> float:
        """Return the accuracy: the share of images whose predicted class is the true one.

        X: images, as for `predict_proba`; one that gives a row of NaN is wrong.
        y: their classes, N of them, by name.

        Raises:
            ValueError: `y` has another length than `X`, or names none of the classes.
            Failure, TypeError: as `predict_proba`.
        """
        images, labels = items_of(X), np.asarray(y).astype(str)
        if labels.shape != (len(images),):
            raise ValueError(f"labels of shape {labels.shape} for {len(images):,} images")
        if not np.isin(labels, self.classes).any():
            raise ValueError(f"no label is one of the {named_classes(self.classes)}")
        return float((self.predict(images) == labels).mean())


def load_classifier(
    head: str | Path,
    *,
    cache: str | Path | None = None,
    backbone: str | None = None,
    weights: str | None = None,
    views: int = 1,
    on_error: str = "raise",
    progress: Progress = no_progress,
) -> Classifier:
    """Return the classifier of a trained head; its backbone is found by what the head says of it.

    >>> from onceover import load_classifier
    >>> load_classifier(head).classes
    ('spots', 'stripes')

    head: the folder that `fit_head` or `Fit.save` wrote, or the file in it.
    cache: where to look for the backbone too. backbone, weights: what it is, where it is not found.
    views: over how many views of an image its probabilities are averaged: 1, 2 (its mirror image
        too) or 6 (four crops too).
    on_error: `raise`, or `nan` for a row of NaN where an image cannot be classified.

    Raises:
        Failure: there is no head or no backbone for it; the message says how to name one.
    """
    named = None if backbone is weights is None else NamedBackbone(backbone, weights)
    opened = open_classifier(home_path(head), cache, named, views=views)
    return Classifier(opened, on_error=on_error, progress=progress)
