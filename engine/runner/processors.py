"""Which kinds of processors computed features."""

import logging
from collections.abc import Mapping

from cache.files import Damaged
from cache.store import Space
from engine.runner.task import Report

_log = logging.getLogger(__name__)

# The note of a space that keeps them.
_NOTE = "workers"


class Processors:
    """The kinds of the workers that computed a space's features, in earlier runs too.

    The bits of fp32 hang on the instruction set. Each new kind is noted as soon as it takes part,
    so that a run that is stopped has said so, too.
    """

    def __init__(self, space: Space, packages: Mapping[str, str]) -> None:
        """packages: with their versions, of all workers."""
        self._space, self._packages = space, packages
        self._kinds: set[str] | None = None
        self._told = False

    def add(self, report: Report) -> None:
        """Note a worker's kind; warn once where there are several."""
        if report.refused or not report.tally.computed:
            return
        if self._kinds is None:
            self._kinds = self._noted()
        if report.processor in self._kinds:
            return
        self._kinds.add(report.processor)
        kinds = sorted(self._kinds)
        self._space.write_note(_NOTE, {"processors": kinds, **self._packages})
        if len(kinds) > 1 and not self._told:
            self._told = True
            _log.warning(
                "workers are of several kinds (%s): features may differ in their last bits",
                "; ".join(kinds),
            )

    def _noted(self) -> set[str]:
        try:
            kinds = self._space.notes().get(_NOTE, {}).get("processors")
        except Damaged:  # `verify` tells of it
            return set()
        return set(map(str, kinds)) if isinstance(kinds, list) else set()
