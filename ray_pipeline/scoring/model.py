"""One model scores the rows of a chunk: batches go out in a window, answers come back in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ray_pipeline.errors import FatalError, RefusedError, RetryableError
from ray_pipeline.models import JobModel
from ray_pipeline.retry import waited_for
from ray_pipeline.scoring.codec import Answers, Rows
from ray_pipeline.scoring.inputs import Inputs, inputs_of
from ray_pipeline.transport.base import Pending, Request, Tensors, Transport

IN_FLIGHT = 2
"""One batch runs while the next one waits at the server, so that it never idles; more would only stand in line."""

_REFUSALS_IN_A_ROW = 32
"""So many refused rows without one answer between them say more about the server than about the rows."""


@dataclass(frozen=True)
class Scored:
    """The answers of a model for a chunk: one column for each output, and the reason of each row that was refused."""

    columns: dict[str, pa.Array]
    refused: dict[int, str]


class ModelScorer:
    """Scores chunks with one model over one transport.

    `timeout_s` is how long a server that does not answer is waited for.
    """

    def __init__(self, model: JobModel, transport: Transport, timeout_s: float) -> None:
        self._model, self._transport, self._timeout_s = model, transport, timeout_s
        self._refusals_in_a_row = 0

    def score(self, table: pa.Table, good: npt.NDArray[np.bool_]) -> Scored:
        """Scores the rows where `good` is true; the others get nulls.

        Raises FatalError if the server cannot be reached, cannot serve the job, or refuses one row after the other.
        """
        row_of_good = np.flatnonzero(good)
        answers = {tensor.name: Answers(tensor, len(good)) for tensor in self._model.wanted}
        answered = np.zeros(len(good), np.bool_)
        refused: dict[int, str] = {}
        for batch, outcome in self._outcomes(inputs_of(self._model, table.filter(pa.array(good)))):
            rows = row_of_good[batch]
            if isinstance(outcome, RefusedError):
                refused[int(rows[0])] = str(outcome)
                self._count_refusal(outcome)
                continue
            answered[rows], self._refusals_in_a_row = True, 0
            for name, collected in answers.items():
                collected.put(rows, outcome[name])
        columns = {self._model.results[name]: collected.to_arrow(answered) for name, collected in answers.items()}
        return Scored(columns, refused)

    def _outcomes(self, inputs: Inputs) -> Iterator[tuple[Rows, Tensors | RefusedError]]:
        """The answer to each batch, or the refusal of a single row; `IN_FLIGHT` batches are at the server at once."""
        window: deque[tuple[Rows, Request, Pending]] = deque()
        for rows in inputs.batches():
            window.append(self._sent(inputs, rows))
            if len(window) == IN_FLIGHT:
                yield from self._settled(inputs, *window.popleft())
        while window:
            yield from self._settled(inputs, *window.popleft())

    def _sent(self, inputs: Inputs, rows: Rows) -> tuple[Rows, Request, Pending]:
        request = Request(self._model.name, self._model.version, inputs.tensors(rows), tuple(self._model.results))
        return rows, request, self._transport.send(request)

    def _settled(
        self, inputs: Inputs, rows: Rows, request: Request, pending: Pending
    ) -> Iterator[tuple[Rows, Tensors | RefusedError]]:
        """Waits for a batch; one that is refused is sent again in halves until the guilty rows stand alone."""
        try:
            yield rows, self._answer(request, pending)
        except RefusedError as refusal:
            if len(rows) == 1:
                yield rows, refusal
                return
            for half in np.array_split(rows, 2):
                yield from self._settled(inputs, *self._sent(inputs, half))

    def _answer(self, request: Request, pending: Pending) -> Tensors:
        try:
            return pending.result()
        except RetryableError:
            return waited_for(lambda: self._transport.send(request).result(), self._timeout_s)

    def _count_refusal(self, refusal: RefusedError) -> None:
        self._refusals_in_a_row += 1
        if self._refusals_in_a_row == _REFUSALS_IN_A_ROW:
            raise FatalError(
                f"model {self._model.name!r} on {self._transport.address} refused {_REFUSALS_IN_A_ROW} rows one "
                f"after the other, the last with: {refusal}"
            )
