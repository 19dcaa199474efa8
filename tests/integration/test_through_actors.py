"""The way through Ray Data: a chunk is told of when it is scored, and whoever leaves early leaves nothing at work."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from ray.data._internal.execution.streaming_executor import StreamingExecutor
from ray.data._internal.execution.streaming_executor_state import Topology

from ray_pipeline.chunk import Chunk, Piece
from ray_pipeline.pipeline import Flow, through_actors
from ray_pipeline.placement import connected
from ray_pipeline.sinks.parquet import ParquetSink
from ray_pipeline.telemetry.course import course_of
from tests.support.sums import write_numbers
from tests.support.waiting import until
from triton_models.storage import open_storage

ROWS, CHUNKS, FREE = 10, 12, 5
"""So many chunks are scored without a wait, and then each waits for a word."""


class Held:
    """Scores nothing: the first chunks pass at once, the others when `word` is there."""

    def __init__(self, word: Path) -> None:
        self._word, self._numbers = word, itertools.count(1)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Passes a chunk on. What is told of the first is longer than of the others, as in most jobs."""
        number = next(self._numbers)
        if number > FREE:
            until(self._word.exists, "the others may pass", 120.0)
        return replace(course_of(table), node="node" * (100 if number == 1 else 1)).on(table)


def place(folder: Path) -> tuple[list[Chunk], Flow]:
    """Chunks of numbers in the folder, and their way into it."""
    write_numbers(folder / "in" / "a.parquet", range(ROWS * CHUNKS))
    source = open_storage(str(folder / "in"))
    found = source.stat("a.parquet")
    assert found is not None
    chunks = [Chunk((Piece("a.parquet", found.stamp, ROWS, ROWS * number),)) for number in range(CHUNKS)]
    schema = pa.schema([("id", pa.int64())])
    return chunks, Flow(source, open_storage(str(folder / "out")), ParquetSink(), schema, models=(), keep=("id",))


@pytest.mark.filterwarnings("ignore:.* is deprecated:DeprecationWarning")  # what Ray Data says of its own settings
def test_what_is_scored_is_told_while_others_wait(tmp_path: Path) -> None:
    chunks, flow = place(tmp_path)
    word = tmp_path / "word"
    told: queue.SimpleQueue[str] = queue.SimpleQueue()

    def score() -> None:
        with closing(through_actors(chunks, flow, 1, Held, {"word": word})) as results:
            for one in results:
                told.put(one.part.chunk)

    with connected(None):
        scoring = threading.Thread(target=score)
        scoring.start()
        try:
            until(lambda: told.qsize() == FREE, f"{FREE} chunks are told of", 60.0)
        finally:
            word.touch()
            scoring.join()
    assert told.qsize() == CHUNKS


@pytest.mark.filterwarnings("ignore:.* is deprecated:DeprecationWarning")
def test_whoever_leaves_early_leaves_no_thread_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks, flow = place(tmp_path)
    one_is_told, at_a_slow_step = threading.Event(), threading.Event()
    step = StreamingExecutor._scheduling_loop_step

    def slow_step(self: StreamingExecutor, topology: Topology) -> bool:
        """As on a busy machine: Ray Data itself waits for 2 s."""
        if one_is_told.is_set():
            at_a_slow_step.set()
            time.sleep(4.0)
        return bool(step(self, topology))

    monkeypatch.setattr(StreamingExecutor, "_scheduling_loop_step", slow_step)
    with connected(None):
        with closing(through_actors(chunks, flow, 1, Held, {"word": tmp_path / "word"})) as results:
            next(results)
            one_is_told.set()
            assert at_a_slow_step.wait(60.0)
        at_work = [thread for thread in threading.enumerate() if isinstance(thread, StreamingExecutor)]
        for thread in at_work:
            thread.join()  # as it would end this process
    assert not at_work
