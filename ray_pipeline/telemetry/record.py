"""The record of a job in its output folder: how each chunk has gone, run by run. `rayton watch` and `report` read it.

It tells and decides nothing: a page that cannot be written is written with the next one, or is lost at the end.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from ray_pipeline.output.explained import explained
from ray_pipeline.telemetry.course import Committed, Seconds
from triton_models.errors import StorageError
from triton_models.storage import Storage
from triton_models.typed_json import dumps, loads, reader_of

FOLDER = "_record"
FLUSH_S = 5.0
"""How often a page is written."""
_PAGES_AT_ONCE = 16


@dataclass(frozen=True)
class Run:
    """One run of a job: its id, when it began in seconds since 1970, and the addresses of the nodes that score."""

    id: str
    began_s: Seconds
    nodes: tuple[str, ...]

    @classmethod
    def begun(cls, nodes: tuple[str, ...]) -> Run:
        """A run that begins now."""
        now_s = time.time()
        return cls(f"{round(now_s * 1e9):020}-{uuid.uuid4().hex[:8]}", now_s, nodes)


@dataclass(frozen=True)
class Page:
    """What was committed since the page before. `at_s` is when it was written; `error` is what the run ended with."""

    run: Run
    at_s: Seconds
    committed: tuple[Committed, ...] = ()
    over: bool = False
    error: str | None = None


_READ = reader_of(Page)


class Record:
    """Writes the pages of a run, the first at once. `now` is a clock, in seconds."""

    def __init__(self, output: Storage, run: Run, now: Callable[[], float] = time.monotonic) -> None:
        self._output = replace(output, timeout_s=0)  # the job does not wait for what only tells of it
        self._run, self._now = run, now
        self._pending: list[Committed] = []
        self._pages = 0
        self._write()

    def take(self, committed: Committed) -> None:
        """A chunk was committed. What was kept for a trace is left out."""
        course = committed.course
        lean = replace(course, batches=replace(course.batches, each=()))
        self._pending.append(Committed(committed.part, lean))
        if self._now() - self._written_s >= FLUSH_S:
            self._write()

    def close(self, error: str | None) -> None:
        """The run is over, with an error or without."""
        self._write(over=True, error=error)

    def _write(self, *, over: bool = False, error: str | None = None) -> None:
        self._written_s = self._now()
        page = Page(self._run, time.time(), tuple(self._pending), over, error)
        path = f"{FOLDER}/{self._run.id}-{self._pages:06}.json"
        with suppress(StorageError, OSError):
            self._output.write(path, dumps(page).encode())
            self._pages += 1
            self._pending.clear()


def read_record(output: Storage, after: str = "") -> Iterator[tuple[str, Page]]:
    """The pages of all runs with their names, the oldest first, from the one behind `after` on.

    Raises OutputError for a page that is none.
    """
    paths = sorted(f"{FOLDER}/{one.path}" for one in output.at(FOLDER).objects())
    wanted = [path for path in paths if path > after]
    with ThreadPoolExecutor(_PAGES_AT_ONCE) as pool:
        for start in range(0, len(wanted), _PAGES_AT_ONCE):  # a long job has more pages than fit into memory
            some = wanted[start : start + _PAGES_AT_ONCE]
            yield from zip(some, pool.map(partial(_page, output), some), strict=True)


def _page(output: Storage, path: str) -> Page:
    with explained(output, path, "is no page of a record", "delete it: it only tells how a run has gone"):
        return _READ(loads(output.read(path)))
