"""The way of the data through Ray Data: read and prepare, score, write. One chunk stays one block all the way."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from ray_pipeline.chunk import ERROR, STAGE, Chunk
from ray_pipeline.models import JobModel
from ray_pipeline.placement import SERVER_RESOURCE, FindServer
from ray_pipeline.prepare.rows import prepare
from ray_pipeline.roll import Roll
from ray_pipeline.scoring.actor import CHUNKS_AT_ONCE, Scorer, Scoring
from ray_pipeline.sinks.base import Sink
from ray_pipeline.sinks.part import only_rejected, write_part
from ray_pipeline.sources.chunks import read_chunk
from ray_pipeline.telemetry.course import Committed, Course, Laps, course_of
from triton_models.storage import Storage

_WRITE_CPUS = 0.25
_COMMITTED = "committed"
_RAY_DATA_THREADS = ("StreamingExecutor", "iter_threaded", "ray-data-metadata-prefetch")
"""Those that call Ray by themselves. The one named Prefetcher, which outlives its dataset, waits for them."""

_RAY_DATA_ENDS_S = 60.0
"""Nobody can end a thread that does not come to its end, as where a cluster does not answer any more."""


@dataclass(frozen=True)
class Flow:
    """What every worker needs to know of a job. Plain values.

    `again` are the ids of committed chunks: only their rejected rows are scored, and put in between the others.
    """

    input: Storage
    output: Storage
    sink: Sink
    schema: pa.Schema
    models: tuple[JobModel, ...]
    keep: tuple[str, ...]
    again: frozenset[str] = frozenset()


def score_chunks(
    chunks: Sequence[Chunk], flow: Flow, nodes: int, find_server: FindServer, scoring: Scoring, roll: Roll
) -> Generator[Committed, None, None]:
    """Scores chunks on `nodes` nodes at once; gives the result of each as it is committed, in no order.

    A node that the `roll` knows to be without its server gets none.

    Errors of the workers arrive wrapped in Ray's.
    """
    # Large arguments go through the object store, and an actor whose arguments were lost there cannot be restarted.
    models = [replace(model, tokenizer="") for model in flow.models]
    arguments = {"models": models, "find_server": find_server, "scoring": scoring, "roll": roll}
    return through_actors(chunks, flow, nodes, Scorer, arguments)


def through_actors(
    chunks: Sequence[Chunk], flow: Flow, nodes: int, scorer: type[ChunkScorer], arguments: dict[str, Any]
) -> Generator[Committed, None, None]:
    """Reads, prepares and commits chunks; between, one actor on each node calls a `scorer` made with `arguments`.

    When it is exhausted or closed, nothing of Ray Data is at work any more, and Ray may be shut down.
    """
    if not chunks:
        return
    _configure()
    dataset = (
        ray.data.read_datasource(ChunkSource(chunks, flow), override_num_blocks=len(chunks))
        .map_batches(
            scorer,
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(
                size=nodes,
                max_tasks_in_flight_per_actor=CHUNKS_AT_ONCE,
                max_concurrent_calls_per_actor=CHUNKS_AT_ONCE,
                enable_true_multi_threading=True,
            ),
            num_cpus=0,
            resources={SERVER_RESOURCE: 1},
            fn_constructor_kwargs=arguments,
        )
        .map_batches(
            partial(_commit, output=flow.output, sink=flow.sink),
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=_WRITE_CPUS,
        )
    )
    # A result that Ray fetches ahead is passed on only when the next one comes, and Ray measures what may wait to be
    # committed by its size: after three results of unlike sizes it commits nothing more until all is scored.
    batches = dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    with _ray_data_ended(), closing(iter(batches)) as committed_batches:
        for results in committed_batches:
            for committed in results[_COMMITTED].to_pylist():
                yield Committed.of_json(committed)


class ChunkScorer(Protocol):
    """What an actor runs: a prepared chunk in, a scored one out. `CHUNKS_AT_ONCE` threads call it at the same time."""

    def __call__(self, table: pa.Table) -> pa.Table:
        """Scores one whole chunk."""
        ...


class ChunkSource(Datasource):
    """A read task for each chunk; it reads and prepares, so that tensors and not rows travel to the actors."""

    def __init__(self, chunks: Sequence[Chunk], flow: Flow) -> None:
        self._chunks, self._again = chunks, flow.again
        self._flow = ray.put(flow)

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: DataContext | None = None
    ) -> list[ReadTask]:
        """One task a chunk, whatever parallelism is asked for."""
        return [ReadTask(partial(_read, chunk, self._flow), self._metadata(chunk)) for chunk in self._chunks]

    def estimate_inmemory_data_size(self) -> int | None:
        """Not known before reading."""
        return None

    def _metadata(self, chunk: Chunk) -> BlockMetadata:
        rows = chunk.rows if chunk.id not in self._again else None
        return BlockMetadata(num_rows=rows, size_bytes=None, input_files=None, exec_stats=None)


def _read(chunk: Chunk, flow_ref: ray.ObjectRef[Flow]) -> list[pa.Table]:
    flow, laps = ray.get(flow_ref), Laps()
    table = read_chunk(flow.input, chunk, flow.schema)
    if chunk.id in flow.again:
        table = only_rejected(flow.output, flow.sink, chunk, table)
    read = laps.lap()
    prepared = prepare(table, flow.models, flow.keep)
    return [Course(read=read, prepare=laps.lap()).on(prepared)]


def _commit(table: pa.Table, output: Storage, sink: Sink) -> pa.Table:
    laps = Laps()
    part = write_part(output, sink, table)
    course = replace(course_of(table), write=laps.lap(), rejections=_rejections(table))
    return pa.table({_COMMITTED: [Committed(part, course).to_json()]})


def _rejections(table: pa.Table) -> dict[str, int]:
    """How many rows were rejected at each stage with each error, by both together."""
    rejected = zip(table[STAGE].to_pylist(), table[ERROR].to_pylist(), strict=True)
    return dict(Counter(f"{stage}: {error}" for stage, error in rejected if error is not None))


@contextmanager
def _ray_data_ended() -> Iterator[None]:
    """After the block no thread of Ray Data is at work.

    Ray Data waits for its own for 2 s, which is too little on a busy machine. One that calls Ray after `ray.shutdown`
    ends this process without a word, or starts another Ray.
    """
    try:
        yield
    finally:
        ends_s = time.monotonic() + _RAY_DATA_ENDS_S
        for thread in threading.enumerate():
            if thread.name.startswith(_RAY_DATA_THREADS):
                thread.join(max(0.0, ends_s - time.monotonic()))


def _configure() -> None:
    context = DataContext.get_current()
    # A block that Ray splits would be half a chunk.
    context.target_max_block_size = None
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # A server that is waited for, or paused, is not a hang.
    context.execution_no_progress_timeout_s = -1
    # Ray's own wrapping of an error loses its cause on the way to this process.
    context.raise_original_map_exception = True
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
