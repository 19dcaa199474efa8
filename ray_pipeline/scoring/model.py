"""One model scores the rows of a chunk: batches go out in a window, answers come back in order."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from queue import SimpleQueue

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ray_pipeline.errors import FatalError, RefusedError, RetryableError
from ray_pipeline.models import JobModel
from ray_pipeline.prepare.rows import prepared_column
from ray_pipeline.rejection import Rejection
from ray_pipeline.retry import Again
from ray_pipeline.scoring.codec import Answers, Rows
from ray_pipeline.scoring.finite import nonfinite_rows
from ray_pipeline.scoring.inputs import Inputs, inputs_of
from ray_pipeline.scoring.slots import Slots
from ray_pipeline.scoring.watch import QueueWatch
from ray_pipeline.scoring.window import Trip, Window
from ray_pipeline.sharing.lane import OPEN, Lane
from ray_pipeline.telemetry.tally import ChunkTally, Tally
from ray_pipeline.transport.base import Pending, Request, Tensors, Transport

NONFINITE = "NonFiniteAnswer"
"""The error of a row whose answer holds NaN or infinite numbers."""

_REFUSALS_IN_A_ROW = 32
"""After so many refused rows without one answer between them, the server is asked for an answer that it gave before."""

_DEATHS = 3
"""How often a server may die of one row before the row is refused; of several rows once, as halving loses none."""


@dataclass(frozen=True)
class Scored:
    """The answers for the rows of a table: one column for each output, and why each refused row has none."""

    columns: dict[str, pa.Array]
    refused: dict[int, Rejection]


@dataclass(frozen=True)
class _Sent:
    """A batch in flight."""

    rows: Rows
    request: Request
    pending: Pending
    in_flight: int
    permit_s: float
    ended: SimpleQueue[float]
    tally: ChunkTally


class ModelScorer:
    """Scores chunks with one model over one transport; a thread may send one while another awaits the answers of one.

    `timeout_s` is how long a server that does not answer is waited for. A row whose answer is not finite is refused
    unless `keep_nonfinite`. How many batches are at the server at once is learned, and kept from chunk to chunk. The
    `lane` says how many rows of a batch may go at once where others use the server too. What gets no answer is sent
    `again` by those who do so for all models of the server.
    """

    def __init__(
        self,
        model: JobModel,
        transport: Transport,
        timeout_s: float,
        *,
        again: Again | None = None,
        keep_nonfinite: bool = False,
        lane: Lane = OPEN,
    ) -> None:
        self._watch = QueueWatch(transport, model.name, model.version)
        self._slots = Slots(self._watch.window, lambda: lane.permitted)
        self._model, self._transport = model, transport
        self._again = again or Again(transport, timeout_s)
        self._keep_nonfinite, self._lane = keep_nonfinite, lane
        self._counting = threading.Lock()
        self._refusals_in_a_row = 0
        self._answered_before: Request | None = None

    @property
    def window(self) -> Window:
        """How many batches are at the server at once."""
        return self._watch.window

    def score(
        self,
        table: pa.Table,
        good: npt.NDArray[np.bool_],
        tally: ChunkTally | None = None,
        all_sent: Callable[[], None] = lambda: None,
    ) -> Scored:
        """Scores the rows where `good` is true; the others get nulls.

        The `tally` hears of each batch. `all_sent` is called when the last one is at the server: another thread may
        score the next chunk then. Raises FatalError if the server cannot be reached, cannot serve the job, or refuses
        one row after the other.
        """
        tally = tally or Tally().chunk()
        row_of_good = np.flatnonzero(good)
        answers = {tensor.name: Answers(tensor, len(good)) for tensor in self._model.wanted}
        answered = np.zeros(len(good), np.bool_)
        refused: dict[int, Rejection] = {}
        for batch, outcome in self._outcomes(inputs_of(self._model, self._prepared(table, good)), tally, all_sent):
            rows = row_of_good[batch]
            if isinstance(outcome, RefusedError):
                refused[int(rows[0])] = Rejection(type(outcome).__name__, str(outcome))
                continue
            answered[rows] = True
            for name, collected in answers.items():
                collected.put(rows, outcome[name])
            if not self._keep_nonfinite:
                for position, message in nonfinite_rows(outcome).items():
                    refused[int(rows[position])] = Rejection(NONFINITE, message)
        answered[list(refused)] = False
        columns = {self._model.results[name]: collected.to_arrow(answered) for name, collected in answers.items()}
        return Scored(columns, refused)

    def _prepared(self, table: pa.Table, good: npt.NDArray[np.bool_]) -> pa.Table:
        """The columns of this model; they are copied only where rows are left out."""
        ours = table.select([name for name in table.column_names if name.startswith(prepared_column(self._model, ""))])
        return ours if good.all() else ours.filter(pa.array(good))

    def _outcomes(
        self, inputs: Inputs, tally: ChunkTally, all_sent: Callable[[], None]
    ) -> Iterator[tuple[Rows, Tensors | RefusedError]]:
        """The answer to each batch, or the refusal of a single row; as many are at the server as the window says."""
        in_flight: deque[_Sent] = deque()
        try:
            for rows, request in self._requests(inputs):
                while not (taken := self._slots.take(wait=not in_flight)):
                    yield from self._first_settled(inputs, in_flight)
                try:
                    in_flight.append(self._sent(rows, request, taken, tally))
                except BaseException:
                    self._slots.free()
                    raise
            all_sent()
            while in_flight:
                yield from self._first_settled(inputs, in_flight)
        finally:
            self._slots.free(len(in_flight))

    def _first_settled(self, inputs: Inputs, in_flight: deque[_Sent]) -> Iterator[tuple[Rows, Tensors | RefusedError]]:
        yield from self._settled(inputs, in_flight[0])
        in_flight.popleft()
        self._slots.free()

    def _requests(self, inputs: Inputs) -> Iterator[tuple[Rows, Request]]:
        """What is to be sent, each piece cut when it is asked for; the lane sees a row of it first."""
        batches = inputs.batches()
        if batches:
            # The batches go from long rows to short ones: in the middle is a usual one.
            self._lane.introduce(self._request(inputs, batches[len(batches) // 2][:1]))
        for batch in batches:
            yield from self._pieces(batch, self._request(inputs, batch))

    def _pieces(self, rows: Rows, request: Request) -> Iterator[tuple[Rows, Request]]:
        """A batch in as many requests as the lane wants at the moment at which each is about to be sent."""
        start = 0
        while start < len(rows):
            end = start + self._lane.rows_at_once(request)
            yield rows[start:end], _part_of(request, start, end)
            start = end

    def _request(self, inputs: Inputs, rows: Rows) -> Request:
        return Request(self._model.name, self._model.version, inputs.tensors(rows), tuple(self._model.results))

    def _sent(self, rows: Rows, request: Request, in_flight: int, tally: ChunkTally) -> _Sent:
        asked_s, ended = time.monotonic(), SimpleQueue[float]()
        pending = self._transport.send(request)
        permit_s = pending.sent_s - asked_s
        pending.when_answered(lambda took_s, _: ended.put(took_s))
        tally.sent(self._model.name, len(rows), request.size_bytes, permit_s)
        return _Sent(rows, request, pending, in_flight, permit_s, ended, tally)

    def _settled(self, inputs: Inputs, sent: _Sent) -> Iterator[tuple[Rows, Tensors | RefusedError]]:
        """Waits for a batch; one that is refused is sent again in halves until the guilty rows stand alone."""
        try:
            answer = self._answer(sent)
        except RefusedError as refusal:
            if len(sent.rows) == 1:
                self._count(refusal)
                yield sent.rows, refusal
                return
            for half in np.array_split(sent.rows, 2):
                again = self._sent(half, self._request(inputs, half), sent.in_flight, sent.tally)
                yield from self._settled(inputs, again)
            return
        with self._counting:
            self._refusals_in_a_row, self._answered_before = 0, sent.request
        yield sent.rows, answer

    def _answer(self, sent: _Sent) -> Tensors:
        try:
            answer = sent.pending.result()
        except RetryableError:
            sent.tally.sent_again(self._model.name)
            return self._again.answer(sent.request, _DEATHS if len(sent.rows) == 1 else 1)
        except RefusedError:
            sent.tally.refused(self._model.name)
            raise
        sent.tally.answered(self._model.name, len(sent.rows), sent.ended.get(), sent.permit_s)
        self._watch.answered(Trip(time.monotonic() - sent.pending.sent_s, sent.in_flight))
        return answer

    def _count(self, refusal: RefusedError) -> None:
        """Many refusals one after the other are the rows' fault if the server still answers what it answered before."""
        with self._counting:
            self._refusals_in_a_row += 1
            if self._refusals_in_a_row < _REFUSALS_IN_A_ROW:
                return
            if not self._still_answers():
                raise FatalError(
                    f"model {self._model.name!r} on {self._transport.address} refused {_REFUSALS_IN_A_ROW} rows one "
                    f"after the other, the last with: {refusal}"
                )
            self._refusals_in_a_row = 0

    def _still_answers(self) -> bool:
        if self._answered_before is None:
            return False
        try:
            self._again.answer(_part_of(self._answered_before, 0, 1), _DEATHS)
        except RefusedError:
            return False
        return True


def _part_of(request: Request, start: int, end: int) -> Request:
    """A request of some rows of another, in the same memory."""
    return replace(request, inputs={name: array[start:end] for name, array in request.inputs.items()})
