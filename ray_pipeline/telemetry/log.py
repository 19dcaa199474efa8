"""The log of a job on the machine that drives it: an event on each line, as JSON, with the ids of run and chunk."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray_pipeline.sharing.event_log import EventLog
from ray_pipeline.telemetry.course import Committed
from ray_pipeline.telemetry.record import Run

MOST_BYTES = 16 * 2**20
_NAME_CHARACTERS = 60


def log_file_of(job: str, home: Path) -> Path:
    """Where the log of a job lies, by its output folder; `home` is Rayton's folder."""
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", job.partition("://")[2] or job).strip("-.")[-_NAME_CHARACTERS:]
    return home / "logs" / f"job-{readable}-{hashlib.sha256(job.encode()).hexdigest()[:8]}.jsonl"


class JobLog:
    """Notes what happens to a run of a job. `place` is the file, or why there is none: the job goes on without it."""

    def __init__(self, job: str, run: Run, home: Path) -> None:
        path, self._ids = log_file_of(job, home), {"job": job, "run": run.id}
        self._log: EventLog | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._log, self.place = EventLog(path, MOST_BYTES), str(path)
        except OSError as error:
            self.place = f"none: {path} cannot be written ({error.strerror})"
        self.note("run began", nodes=run.nodes)

    def note(self, event: str, **what: Any) -> None:
        """Something has happened. On a disk that is full it is not noted."""
        if self._log is not None:
            with suppress(OSError):
                self._log.note(event, **self._ids, **what)

    def take(self, committed: Committed) -> None:
        """A chunk was committed."""
        part, course = committed.part, committed.course
        self.note(
            "chunk committed",
            chunk=part.chunk,
            node=course.node,
            scored=part.scored,
            rejected=part.rejected,
            rejections=dict(course.rejections),
            bytes=part.bytes,
            seconds={stage: round(seconds, 3) for stage, seconds in course.seconds().items()},
            batches=course.batches.count,
            sent_again=course.batches.sent_again,
            refused=course.batches.refused,
        )

    def close(self, error: str | None) -> None:
        """The run is over, with an error or without."""
        self.note("run failed" if error else "run ended", **({"error": error} if error else {}))
        if self._log is not None:
            self._log.close()
