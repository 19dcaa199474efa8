"""A lane beside online users: permits first, batches as large as the limit lets them run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pytest

from ray_pipeline.errors import RefusedError, RetryableError, ServerAwayError
from ray_pipeline.outcome import Outcome
from ray_pipeline.prepare.rows import prepared_column
from ray_pipeline.scoring.model import ModelScorer
from ray_pipeline.sharing.lane import OPEN, PermittedLane, elements_of, rows_of
from ray_pipeline.sharing.limit import UNLIMITED, Limit
from ray_pipeline.transport.base import Request, Tensors
from ray_pipeline.transport.fake import FakeTransport
from tests.support.job_models import tensor_model

ROWS = 10
TIMEOUT_S = 0.05
NO_LIMIT = Limit(1, math.inf, "")


@dataclass
class Permits:
    """Grants at once, and notes it. `limit` may be set."""

    limit: Limit = NO_LIMIT
    taken: list[float] = field(default_factory=list)
    given: list[Outcome] = field(default_factory=list)
    first: Request | None = None

    def take(self, expected_s: float, look: Callable[[], None]) -> Permits:
        if self.limit.in_flight == 0:
            look()
        self.taken.append(expected_s)
        return self

    def give(self, took_s: float, outcome: Outcome) -> None:
        self.given.append(outcome)

    def of(self, row: Request) -> Permits:
        assert self.first is None, "a lane is introduced once"
        self.first = row
        return self


def batch(rows: int, columns: int = 4) -> Request:
    return Request("m", 1, {"x": np.zeros((rows, columns)), "y": np.zeros(rows)}, ())


def doubled(request: Request) -> Tensors:
    return {"y": request.inputs["x"][:, 0] * 2}


def test_rows_and_elements() -> None:
    assert (rows_of(batch(3)), elements_of(batch(3))) == (3, 12)
    assert OPEN.rows_at_once(batch(3)) == 3
    assert OPEN.permitted == UNLIMITED


def test_as_much_is_permitted_as_whoever_gives_permits_says() -> None:
    permits = Permits(Limit(3, math.inf, ""))
    lane = PermittedLane(FakeTransport(doubled), permits.of, TIMEOUT_S)
    assert lane.permitted == UNLIMITED
    lane.introduce(batch(1))
    assert lane.permitted == 3


def test_each_request_has_a_permit_that_comes_back_with_its_outcome() -> None:
    errors: list[Exception | None] = [None, RefusedError("bad"), RetryableError("gone")]

    def answer(request: Request) -> Tensors:
        error = errors[len(transport.requests) - 1]
        if error is not None:
            raise error
        return {}

    transport, permits = FakeTransport(answer), Permits()
    lane = PermittedLane(transport, permits.of, TIMEOUT_S)
    lane.introduce(batch(1))
    for _ in errors:
        lane.transport.send(batch(2))
    assert permits.given == ["success", "ignored", "dropped"]
    assert len(permits.taken) == 3


def test_a_permit_comes_back_when_the_request_cannot_be_sent() -> None:
    def unsendable(request: Request) -> Tensors:
        raise ValueError("no such dtype")

    permits = Permits()
    lane = PermittedLane(FakeTransport(unsendable), permits.of, TIMEOUT_S)
    lane.introduce(batch(1))
    with pytest.raises(ValueError, match="no such dtype"):
        lane.transport.send(batch(1))
    assert permits.given == ["ignored"]


def test_a_server_that_stays_away_while_nothing_is_permitted_ends_the_waiting() -> None:
    class Gone(FakeTransport):
        def check_ready(self, timeout_s: float) -> None:
            raise RetryableError("server fake: not there")

    lane = PermittedLane(Gone(doubled), Permits(Limit(0, 0.0, "away")).of, TIMEOUT_S)
    lane.introduce(batch(1))
    with pytest.raises(ServerAwayError, match=r"server fake: not there; tried \d+ times over 0\.05 s"):
        lane.transport.send(batch(1))


def test_batches_are_as_large_as_they_may_run() -> None:
    permits = Permits()
    lane = PermittedLane(FakeTransport(doubled), permits.of, TIMEOUT_S)
    lane.introduce(batch(1))
    assert lane.rows_at_once(batch(ROWS)) == ROWS
    permits.limit = Limit(1, 0.05, "")
    assert lane.rows_at_once(batch(ROWS)) == 1  # nothing is known yet
    lane.answered(permits, batch(2), 0.02, "success")
    assert lane.rows_at_once(batch(ROWS)) == 5
    assert lane.rows_at_once(batch(3)) == 3


def test_a_chunk_goes_in_pieces_and_every_row_is_answered_once() -> None:
    transport, permits = FakeTransport(doubled), Permits(Limit(1, 1e-9, ""))
    lane = PermittedLane(transport, permits.of, TIMEOUT_S)
    model = tensor_model()
    chunk = pa.table({prepared_column(model, "x"): [[float(row)] for row in range(ROWS)]})
    scored = ModelScorer(model, lane.transport, 1.0, lane=lane).score(chunk, np.ones(ROWS, np.bool_))
    (column,) = scored.columns.values()
    assert column.to_pylist() == [2 * row for row in range(ROWS)]
    assert [rows_of(request) for request in transport.requests] == [1] * ROWS
    assert permits.first is not None
    assert rows_of(permits.first) == 1
    assert permits.given == ["success"] * ROWS
