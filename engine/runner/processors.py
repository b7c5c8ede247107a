"""Which kinds of processors computed features."""

import logging

from cache.store import Space
from engine.runner.task import Job, Report

_log = logging.getLogger(__name__)


class Processors:
    """The kinds of the workers that took part. The bits of fp32 hang on the instruction set."""

    def __init__(self) -> None:
        self._kinds: set[str] = set()

    def add(self, report: Report) -> None:
        """Note a worker's kind; warn at the second one."""
        if report.refused or report.processor in self._kinds:
            return
        self._kinds.add(report.processor)
        if len(self._kinds) == 2:
            _log.warning(
                "workers are of several kinds (%s): features may differ in their last bits",
                "; ".join(sorted(self._kinds)),
            )

    def record(self, space: Space, job: Job) -> None:
        """Keep in a space which kinds computed features, where they are several."""
        if len(self._kinds) > 1:
            kinds = sorted(self._kinds)
            space.write_note("workers", {"processors": kinds, **job.kind.packages})
