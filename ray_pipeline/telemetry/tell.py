"""Everything that tells of a run, in one place: its record, its log, its metrics, and its trace if one is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ray_pipeline.sinks.part import PartResult
from ray_pipeline.telemetry.committed import CommittedMeter
from ray_pipeline.telemetry.course import Committed
from ray_pipeline.telemetry.log import JobLog
from ray_pipeline.telemetry.meter import RayMeter
from ray_pipeline.telemetry.record import Record, Run
from ray_pipeline.telemetry.spans import Spans, otlp_exporter
from triton_models.storage import Storage


@dataclass(frozen=True)
class Telemetry:
    """What is wanted beside record and log: traces at an OTLP `endpoint`, Ray's metrics at a port of this machine."""

    otlp_endpoint: str | None = None
    metrics_port: int | None = None


NOTHING_MORE = Telemetry()


class _Teller(Protocol):
    def take(self, committed: Committed) -> None: ...

    def close(self, error: str | None) -> None: ...


class Telling:
    """Tells of one run."""

    def __init__(self, log: JobLog, tellers: Sequence[_Teller]) -> None:
        self._log, self._tellers = log, (log, *tellers)

    @property
    def log(self) -> str:
        """Where the log is, or why there is none."""
        return self._log.place

    def news(self, say: Callable[[str], None]) -> Callable[[str], None]:
        """Says what `say` does, and notes it in the log too."""

        def said(news: str) -> None:
            self._log.note("nodes", news=news)
            say(news)

        return said

    def parts(self, committed: Iterator[Committed]) -> Iterator[PartResult]:
        """Passes on what was committed, and tells of it."""
        for one in committed:
            for teller in self._tellers:
                teller.take(one)
            yield one.part

    def close(self, error: str | None) -> None:
        """The run is over, with an error or without."""
        for teller in reversed(self._tellers):
            teller.close(error)


@contextmanager
def telling(output: Storage, nodes: Sequence[str], home: Path, wanted: Telemetry) -> Iterator[Telling]:
    """Tells of the run that is the block. `nodes` are the addresses of those that score, `home` is Rayton's folder."""
    run = Run.begun(tuple(nodes))
    tellers: list[_Teller] = [Record(output, run), CommittedMeter(lambda node: RayMeter(output.uri, node))]
    if wanted.otlp_endpoint is not None:
        tellers.append(Spans(output.uri, run.id, otlp_exporter(wanted.otlp_endpoint)))
    found = Telling(JobLog(output.uri, run, home), tellers)
    try:
        yield found
    except BaseException as error:
        found.close(str(error) or type(error).__name__)
        raise
    found.close(None)
