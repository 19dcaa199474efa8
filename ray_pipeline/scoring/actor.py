"""The Ray actor that scores: one on each node with a server, one connection for its whole life."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from tritonclient.grpc.model_config_pb2 import ModelConfig

from ray_pipeline.chunk import INTERNAL, ROW, STAGE, chunk_of
from ray_pipeline.errors import FatalError, ServerAwayError
from ray_pipeline.models import JobModel
from ray_pipeline.rejection import Rejection, rejection_columns, rejections_of, staged
from ray_pipeline.retry import Again, waited_for
from ray_pipeline.scoring.model import NONFINITE, ModelScorer
from ray_pipeline.sections import OnNonfinite
from ray_pipeline.sharing.lane import Manners, lane_of
from ray_pipeline.telemetry.course import Laps, course_of
from ray_pipeline.telemetry.meter import RayMeter, node_address
from ray_pipeline.telemetry.tally import ChunkTally, Tally
from ray_pipeline.transport.base import WantedTransport
from ray_pipeline.transport.choose import open_transport
from triton_models.config.instances import instances
from triton_models.config.tensors import inputs_of, outputs_of
from triton_models.errors import RaytonError
from triton_models.server.credentials import NONE, Credentials

if TYPE_CHECKING:
    from ray_pipeline.roll import Roll  # needs Ray, which those who only score chunks do not


CHUNKS_AT_ONCE = 2
"""In an actor: one is sent while the last answers of the one before are awaited."""


@dataclass(frozen=True)
class Scoring:
    """How an actor scores: how long a server that does not answer is waited for, how batches reach it, what becomes of
    a row whose answer holds NaN or infinite numbers, the job's manners where online users have the server too, and what
    the server gets to see of its client. `job` is the name that its metrics have; a `traced` job keeps every batch for
    its trace.
    """

    timeout_s: float
    transport: WantedTransport = "auto"
    on_nonfinite: OnNonfinite = "reject"
    manners: Manners | None = None
    credentials: Credentials = NONE
    job: str = ""
    traced: bool = False


class Scorer:
    """Takes prepared chunks and gives scored ones, whole, in `CHUNKS_AT_ONCE` threads.

    One chunk at a time is sent. The next begins when the last batch of the one before is at the server, which so has
    something to do while the answers of a chunk are awaited and put away.

    `find_server` gives the address of this node's server. The actor takes no chunk before it is connected. Where the
    server stays away, the `roll` may end this process for its chunks to be scored on another node.
    """

    def __init__(
        self, models: Sequence[JobModel], find_server: Callable[[], str], scoring: Scoring, roll: Roll | None = None
    ) -> None:
        self._find_server, self._roll = find_server, roll
        self._fail_on_nonfinite = scoring.on_nonfinite == "fail"
        self._scorers: list[ModelScorer] = []
        self._obstacle: RaytonError | None = None
        self._node = node_address()
        self._turn = threading.Lock()
        self._tally = Tally(RayMeter(scoring.job, self._node), each=scoring.traced)
        try:
            self._scorers = connected_scorers(models, find_server(), scoring, self._tally)
        except ServerAwayError as error:
            self._obstacle = self._left(error)
        except RaytonError as error:
            self._obstacle = error  # the first chunk raises it: Ray tells of an error here only that an actor died
        else:
            if roll is not None:
                roll.present()

    def __call__(self, table: pa.Table) -> pa.Table:
        """Adds the output columns of every model and drops the prepared ones; a refused row gets its reason.

        Raises FatalError if the server is not ready in time, serves other tensors than the cards of the models say, or
        gives an answer that is not finite where such answers shall fail the job.
        """
        if self._obstacle is not None:
            raise self._obstacle
        with ExitStack() as turn:
            turn.enter_context(self._turn)
            laps, tally = Laps(), self._tally.chunk()
            try:
                scored = score_chunk(table, self._scorers, tally, turn.close, fail_on_nonfinite=self._fail_on_nonfinite)
            except ServerAwayError as error:
                raise self._left(error) from error
        course = replace(course_of(table), node=self._node, score=laps.lap(), batches=tally.taken())
        return course.on(scored)

    def _left(self, error: ServerAwayError) -> ServerAwayError:
        """Ends this process if another node can do its work; otherwise gives the error that tells why none can."""
        try:
            self._find_server()
        except ServerAwayError as known:
            error = known  # whoever keeps the server knows more than that it does not answer
        return self._roll.leave(error) if self._roll is not None else error


def connected_scorers(models: Sequence[JobModel], address: str, scoring: Scoring, tally: Tally) -> list[ModelScorer]:
    """A scorer for each model over one connection to a server; the `tally` hears what its limiter says.

    Raises FatalError if the server is not ready in time, or serves other tensors than the cards say.
    """
    timeout_s, keep = scoring.timeout_s, scoring.on_nonfinite == "keep"
    transport = open_transport(address, scoring.transport, timeout_s, scoring.credentials)
    waited_for(lambda: transport.check_ready(timeout_s), timeout_s)
    live = [waited_for(partial(transport.config, model.name, model.version, timeout_s), timeout_s) for model in models]
    served = [_as_served(model, config, transport.address) for model, config in zip(models, live, strict=True)]
    if scoring.manners is None:
        again = Again(transport, timeout_s)
        return [ModelScorer(model, transport, timeout_s, again=again, keep_nonfinite=keep) for model in served]
    fewest = max(1, min(map(instances, live)))
    lane = lane_of(transport, scoring.manners, fewest, scoring.credentials, tally, timeout_s)
    again = Again(lane.transport, timeout_s)
    return [
        ModelScorer(model, lane.transport, timeout_s, again=again, keep_nonfinite=keep, lane=lane) for model in served
    ]


def score_chunk(
    table: pa.Table,
    scorers: Sequence[ModelScorer],
    tally: ChunkTally | None = None,
    all_sent: Callable[[], None] = lambda: None,
    *,
    fail_on_nonfinite: bool = False,
) -> pa.Table:
    """Scores a prepared chunk with each model in turn; a row that one refused is not sent to the next.

    The `tally` hears of each batch; `all_sent` is called when the last one of the last model is at the server. Raises
    FatalError for an answer that is not finite if `fail_on_nonfinite`.
    """
    rejections = rejections_of(table)
    answers: dict[str, pa.Array] = {}
    for scorer in scorers:
        good = np.array([rejection is None for rejection in rejections])
        scored = scorer.score(table, good, tally, all_sent if scorer is scorers[-1] else lambda: None)
        answers.update(scored.columns)
        if fail_on_nonfinite:
            _check_finite(table, scored.refused)
        for row, rejection in scored.refused.items():
            rejections[row] = rejection
    carried = {name: table[name] for name in table.column_names if not _is_prepared(name)}
    carried |= rejection_columns(rejections, staged(rejections, table[STAGE].to_pylist(), "score"))
    return pa.table({**carried, **answers})


def _check_finite(table: pa.Table, refused: dict[int, Rejection]) -> None:
    for row, rejection in sorted(refused.items()):
        if rejection.error == NONFINITE:
            ((path, row_there),) = chunk_of(table).origins([table[ROW][row].as_py()])
            raise FatalError(
                f"{path} row {row_there}: {rejection.message}; on_nonfinite under [output] says "
                '"fail": with "reject" such rows are rejected, with "keep" they are written as they are'
            )


def _as_served(model: JobModel, live: ModelConfig, address: str) -> JobModel:
    """The model with the largest batch that its operator allows, by the config that its server runs it with.

    Raises FatalError if the server's tensors are not those of the card, or if only one of them puts requests together.
    """
    there = {*inputs_of(live), *outputs_of(live)}
    missing = [tensor for tensor in (*model.inputs, *model.wanted) if tensor not in there]
    if missing or (live.max_batch_size == 0) != (model.max_batch_size == 0):
        unlike = "puts requests together" if live.max_batch_size > 0 else "takes no batches"
        what = f"has no {missing[0]}" if missing else unlike
        raise FatalError(
            f"version {model.version} of {model.name!r} on {address} {what}, unlike its card in the "
            "repository; does the server load another repository?"
        )
    return replace(model, max_batch_size=live.max_batch_size)


def _is_prepared(name: str) -> bool:
    return name.startswith(INTERNAL) and ":" in name
