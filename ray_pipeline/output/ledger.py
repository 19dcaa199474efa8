"""What each committed part holds, as its run noted it, so that the next run need not read all parts again.

The parts themselves are the truth: a part that no ledger knows, or that has another size than noted, is read.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

from ray_pipeline.output.explained import explained
from ray_pipeline.sinks.part import PartResult
from triton_models.errors import StorageError
from triton_models.storage import Storage
from triton_models.typed_json import dumps, loads, reader_of

FOLDER = "_ledger"
_FLUSH_S = 10.0
_PACE_S = 60.0
_PAGES_AT_ONCE = 16


class Ledger:
    """The notes of one run: an object each time that it is flushed, so that nothing is rewritten."""

    def __init__(
        self, output: Storage, now: Callable[[], float] = time.monotonic, again: Mapping[str, int] | None = None
    ) -> None:
        """`now` is a clock, in seconds. `again` are the chunks of which only so many rows are scored by this run."""
        self._now, self._again = now, again or {}
        self._output, self._run = output, f"{time.time_ns():020}-{uuid.uuid4().hex[:8]}"
        self._pending: list[PartResult] = []
        self._flushed, self._flushed_s = 0, 0.0

    def noted(self, results: Iterator[PartResult]) -> Iterator[PartResult]:
        """Passes results on and notes them, every few seconds and at the end, whatever the end is.

        At a bad end a store that fails is not waited for: it is the reason of the end that counts, not the notes.
        """
        try:
            for result in results:
                # Before the first result there was only starting up, which says nothing about the pace.
                self._flushed_s = self._flushed_s or self._now()
                self._pending.append(result)
                if self._now() - self._flushed_s >= _FLUSH_S:
                    self._flush()
                yield result
        except BaseException:
            self._output = replace(self._output, timeout_s=0)
            with suppress(StorageError, OSError):
                self._flush()
            raise
        self._flush()

    def forget(self, chunks: Iterable[str]) -> None:
        """Notes that what was said of these chunks may not hold any more: rows of them are scored again."""
        self._write([], sorted(chunks), 0.0)

    def _flush(self) -> None:
        if self._pending:
            self._write(self._pending, [], self._now() - self._flushed_s)
            self._pending.clear()
        self._flushed_s = self._now()

    def _write(self, results: Sequence[PartResult], forgotten: Sequence[str], seconds: float) -> None:
        rows = sum(self._again.get(one.chunk, one.scored + one.rejected) for one in results)
        page = Page(seconds, rows, tuple(results), tuple(forgotten))
        self._output.write(f"{FOLDER}/{self._run}-{self._flushed:06}.json", dumps(page).encode())
        self._flushed += 1


def known(output: Storage, sizes: Mapping[str, int]) -> dict[str, PartResult]:
    """What the ledgers say of the committed chunks, whose data parts have these sizes in bytes."""
    found: dict[str, PartResult] = {}
    for page in _pages(output):
        for chunk in page.forgotten:
            found.pop(chunk, None)
        for result in page.parts:
            if sizes.get(result.chunk) == result.bytes:
                found[result.chunk] = result
    return found


def rows_per_s(output: Storage) -> float | None:
    """The pace of the last minute or so that a run was working, start-up left out; None if it is not known yet."""
    rows, seconds = 0, 0.0
    for path in reversed(_paths(output)):
        page = _page(output, path)
        rows += page.rows
        seconds += page.seconds
        if seconds > _PACE_S:
            break
    return rows / seconds if seconds > _FLUSH_S / 2 else None


@dataclass(frozen=True)
class Page:
    """One object of a ledger."""

    seconds: float
    rows: int
    parts: tuple[PartResult, ...]
    forgotten: tuple[str, ...]


_READ = reader_of(Page)


def _pages(output: Storage) -> list[Page]:
    """All that was noted, the oldest first."""
    with ThreadPoolExecutor(_PAGES_AT_ONCE) as pool:
        return list(pool.map(lambda path: _page(output, path), _paths(output)))


def _page(output: Storage, path: str) -> Page:
    with explained(output, path, "is no page of a ledger", "delete it: what it said is counted again"):
        return _READ(loads(output.read(path)))


def _paths(output: Storage) -> list[str]:
    return [f"{FOLDER}/{one.path}" for one in output.at(FOLDER).objects()]
