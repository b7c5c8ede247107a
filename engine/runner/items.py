"""The features of images that a program has in its hands, through the cache."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from cache.dataset_names import IN_HAND
from cache.rows import Row
from cache.space import Space, space_id
from engine.backbones.model import feature_space
from engine.graphs.session import available_cores
from engine.process.execution import Execution
from engine.runner.extract import Extractor
from engine.runner.survey import Survey
from engine.sources.base import Sample, Unreadable
from engine.sources.memory import Item, MemorySource


@dataclass(frozen=True)
class ItemFeatures:
    """The features of N items, in their order.

    features: float32 (N, D); a row of NaN for each item that gives none.
    rejected: the position of each such item, with its name and the reason.
    """

    features: np.ndarray
    rejected: Mapping[int, tuple[str, str]]


def extract_items(
    items: Sequence[Item], extractor: Extractor, execution: Execution = Execution()
) -> ItemFeatures:
    """Return the features of items; those that the cache does not hold are computed and kept.

    Two processes that want the same items never compute one twice: the second waits.

    Raises:
        Failure, Interrupted: as `engine.runner.extract.extract`.
    """
    source = MemorySource(items)
    settled = extractor.settled()
    rows = None if settled is None else _known_rows(settled.space, source, execution)
    if settled is not None and rows is not None:
        return _item_features(source, settled.space, rows)
    identity = feature_space(extractor.model.description, **extractor.identity)
    with extractor.cache.computing(space_id(identity)):
        # Their rows, for without any `gc` would not keep their features.
        survey = Survey(IN_HAND, IN_HAND, source, source.samples, adds=True)
        space = extractor.extract(survey, execution).space
        return _item_features(source, space, _recorded_rows(space))


def _recorded_rows(space: Space) -> dict[str, Row]:
    if IN_HAND not in space.datasets():
        return {}
    return {row.path: row for row in space.rows([IN_HAND])}


def _known_rows(
    space: Space, source: MemorySource, execution: Execution
) -> Mapping[str, Row] | None:
    """Return the rows of a source's samples, by name; None where one is new or has changed."""
    recorded = _recorded_rows(space)
    if not all(sample.path in recorded for sample in source.samples):
        return None

    def is_same(sample: Sample) -> bool:
        try:
            return sha256(source.read(sample)).digest() == recorded[sample.path].digest
        except Unreadable:
            return False

    with ThreadPoolExecutor(execution.threads or available_cores()) as pool:
        if not all(pool.map(is_same, source.samples)):
            return None
    rows = {sample.path: recorded[sample.path] for sample in source.samples}
    digests = b"".join(row.digest for row in rows.values() if row.status == "cached")
    return rows if space.index().contains(np.frombuffer(digests, np.uint8)).all() else None


def _item_features(source: MemorySource, space: Space, rows: Mapping[str, Row]) -> ItemFeatures:
    features = np.full((len(source.names), space.dimension), np.nan, np.float32)
    rejected: dict[int, tuple[str, str]] = {}
    places: list[int] = []
    digests: list[bytes] = []
    for place, name in enumerate(source.names):
        row = rows[name]
        if row.status == "cached":
            places.append(place)
            digests.append(row.digest)
        else:
            rejected[place] = name, row.reason
    keys = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)
    features[places] = space.index().read(keys)
    return ItemFeatures(features, rejected)
