"""The metrics of what was committed: exactly what the job's summary counts."""

from __future__ import annotations

from collections.abc import Callable

from ray_pipeline.telemetry import metrics
from ray_pipeline.telemetry.course import Committed
from ray_pipeline.telemetry.meter import Meter


class CommittedMeter:
    """Counts chunks as they are committed; `meter_of` gives the meter of a node, by its address."""

    def __init__(self, meter_of: Callable[[str], Meter]) -> None:
        self._meter_of = meter_of

    def take(self, committed: Committed) -> None:
        """A chunk was committed."""
        part, course = committed.part, committed.course
        meter = self._meter_of(course.node)
        meter.add(metrics.COMMITTED_PARTS, 1)
        meter.add(metrics.PART_BYTES, part.bytes)
        meter.add(metrics.COMMITTED_ROWS, part.scored, outcome="scored")
        meter.add(metrics.COMMITTED_ROWS, part.rejected, outcome="rejected")
        for reason, rows in course.rejections.items():
            stage, error = reason.split(": ", 1)
            meter.add(metrics.REJECTED_ROWS, rows, stage=stage, error=error)
        for stage, seconds in course.seconds().items():
            meter.add(metrics.STAGE_SECONDS, seconds, stage=stage)

    def close(self, error: str | None) -> None:
        """The run is over."""
