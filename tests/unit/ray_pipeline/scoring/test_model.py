from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import stamina
from hypothesis import given
from hypothesis import strategies as st

from ray_pipeline.errors import FatalError, RefusedError, RetryableError
from ray_pipeline.prepare.rows import prepared_column
from ray_pipeline.rejection import Rejection
from ray_pipeline.scoring.model import NONFINITE, ModelScorer, Scored
from ray_pipeline.scoring.window import LEAST, MOST
from ray_pipeline.telemetry.tally import Tally
from ray_pipeline.transport.base import Request, Tensors
from ray_pipeline.transport.fake import FakeTransport
from tests.support.job_models import tensor_model, text_model
from tests.support.transports import MortalTransport, SlowTransport, WatchedTransport

TIMEOUT_S = 0.05
NUMBERS = tensor_model()


@pytest.fixture
def without_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=5):
        yield


def doubled(request: Request) -> Tensors:
    return {"y": request.inputs["x"][:, 0] * 2}


def refusing(guilty: set[int]) -> Callable[[Request], Tensors]:
    """Answers a batch, unless a guilty row is in it."""

    def answer(request: Request) -> Tensors:
        rows = [int(row) for row in request.inputs["x"][:, 0]]
        if guilty.intersection(rows):
            raise RefusedError(f"bad batch of {len(rows)}")
        return doubled(request)

    return answer


def answering(rows: int) -> Callable[[Request], Tensors]:
    """Answers so many rows, and refuses all others."""
    left = rows

    def answer(request: Request) -> Tensors:
        nonlocal left
        left -= len(request.inputs["x"])
        if left < 0:
            raise RefusedError("broken")
        return doubled(request)

    return answer


def failing(times: int, error: Exception) -> Callable[[Request], Tensors]:
    left = iter([error] * times)

    def answer(request: Request) -> Tensors:
        for one in left:
            raise one
        return doubled(request)

    return answer


def times_sent(transport: FakeTransport) -> int:
    """How often the row was sent that was sent most often."""
    sent = Counter(row for request in transport.requests for row in request.inputs["x"][:, 0].tolist())
    return max(sent.values())


def scored(transport: FakeTransport, rows: int, good: list[bool] | None = None) -> Scored:
    """Scores the rows 0, 1, 2, ...; their answers should be their doubles."""
    return ModelScorer(NUMBERS, transport, TIMEOUT_S).score(prepared(rows), np.array(good or [True] * rows))


def prepared(rows: int) -> pa.Table:
    """The rows 0, 1, 2, ..."""
    return pa.table({prepared_column(NUMBERS, "x"): [[float(row)] for row in range(rows)]})


def test_a_request_asks_one_version_for_the_outputs_that_are_wanted() -> None:
    transport = WatchedTransport(doubled)
    scored(transport, 1)
    (request,) = transport.requests
    assert (request.model, request.version, request.outputs) == (NUMBERS.name, NUMBERS.version, ("y",))
    assert {name: array.shape for name, array in request.inputs.items()} == {"x": (1, 1)}


def test_answers_come_back_in_the_order_of_the_rows_and_not_of_the_batches() -> None:
    model = text_model()
    texts = [[3, 3, 3], [1], [2, 2], [4, 4, 4, 4], [1]]
    table = pa.table({prepared_column(model, "ids"): pa.array(texts, pa.list_(pa.int32()))})
    transport = WatchedTransport(lambda request: {"y": request.inputs["mask"].sum(axis=1).astype(np.float32)})
    column = ModelScorer(model, transport, TIMEOUT_S).score(table, np.full(5, True)).columns["y"]
    assert column.to_pylist() == [3, 1, 2, 4, 1]
    assert [len(request.inputs["ids"]) for request in transport.requests] == [4, 1]


def test_rows_that_are_rejected_already_are_not_sent() -> None:
    transport = WatchedTransport(doubled)
    found = scored(transport, 4, [False, True, False, True])
    assert found.columns["y"].to_pylist() == [None, 2, None, 6]
    assert sum(len(request.inputs["x"]) for request in transport.requests) == 2


def test_a_chunk_of_rejected_rows_is_not_sent_at_all() -> None:
    transport = WatchedTransport(doubled)
    assert scored(transport, 3, [False] * 3).columns["y"].to_pylist() == [None] * 3
    assert transport.requests == []


@given(st.integers(1, 40), st.sets(st.integers(0, 39), max_size=8))
def test_halving_finds_the_guilty_rows_and_no_others(rows: int, guilty: set[int]) -> None:
    transport = WatchedTransport(refusing(guilty))
    found = scored(transport, rows)
    guilty_here = {row for row in guilty if row < rows}
    assert found.refused == dict.fromkeys(guilty_here, Rejection("RefusedError", "bad batch of 1"))
    assert found.columns["y"].to_pylist() == [None if row in guilty_here else row * 2 for row in range(rows)]
    assert transport.most_in_flight <= MOST
    assert times_sent(transport) <= 1 + math.ceil(math.log2(NUMBERS.most_rows))


def test_as_many_batches_are_in_flight_as_allowed_and_never_more() -> None:
    transport = WatchedTransport(doubled)
    scored(transport, 40)
    assert len(transport.requests) == 10
    assert LEAST <= transport.most_in_flight <= MOST
    assert transport.in_flight == 0


@pytest.mark.usefixtures("without_pauses")
def test_a_batch_is_sent_again_when_the_server_comes_back() -> None:
    transport = WatchedTransport(failing(3, RetryableError("server fake: no room")))
    found = scored(transport, 6)
    assert found.columns["y"].to_pylist() == [row * 2 for row in range(6)]
    assert found.refused == {}


def test_a_server_that_stays_away_ends_the_job() -> None:
    transport = WatchedTransport(failing(1000, RetryableError("server fake: not there")))
    with pytest.raises(FatalError, match=r"server fake: not there; tried \d+ times over 0\.05 s"):
        scored(transport, 1)


def test_what_no_request_can_heal_ends_the_job_at_once() -> None:
    transport = WatchedTransport(failing(1000, FatalError("model gone")))
    with pytest.raises(FatalError, match="model gone"):
        scored(transport, 40)
    assert len(transport.requests) <= LEAST


def test_a_server_that_refuses_everything_ends_the_job() -> None:
    transport = WatchedTransport(refusing(set(range(1000))))
    with pytest.raises(FatalError, match=r"'numbers' on fake refused 32 rows one after the other, .*bad batch of 1"):
        scored(transport, 1000)
    assert len(transport.requests) < 100


def test_a_server_that_breaks_after_good_answers_ends_the_job() -> None:
    transport = WatchedTransport(answering(8))
    with pytest.raises(FatalError, match="refused 32 rows one after the other"):
        scored(transport, 80)
    assert transport.requests[-1].inputs["x"].tolist() == [[4.0]]  # a row that was answered before


def test_many_guilty_rows_one_after_the_other_are_the_rows_fault_if_the_server_still_answers() -> None:
    guilty = set(range(4, 300))
    assert set(scored(WatchedTransport(refusing(guilty)), 304).refused) == guilty


def test_refusals_count_over_chunks_until_a_row_is_answered() -> None:
    scorer = ModelScorer(NUMBERS, WatchedTransport(refusing(set(range(1000)))), TIMEOUT_S)
    for _ in range(3):
        assert len(scorer.score(prepared(10), np.ones(10, np.bool_)).refused) == 10
    with pytest.raises(FatalError, match="refused 32 rows one after the other"):
        scorer.score(prepared(10), np.ones(10, np.bool_))


def test_guilty_rows_with_good_ones_between_them_are_the_rows_fault() -> None:
    guilty = set(range(0, 400, 2))
    assert set(scored(WatchedTransport(refusing(guilty)), 400).refused) == guilty


@pytest.mark.parametrize(
    ("answer", "again", "refused"),
    [(doubled, 0, 0), (refusing({3}), 0, 2), (failing(1, RetryableError("gone")), 1, 0)],
)
def test_every_batch_that_was_sent_has_one_end(answer: Callable[[Request], Tensors], again: int, refused: int) -> None:
    tally = Tally().chunk()
    ModelScorer(replace(NUMBERS, max_batch_size=2), FakeTransport(answer), TIMEOUT_S).score(
        prepared(8), np.ones(8, np.bool_), tally
    )
    found = tally.taken()
    assert (found.sent_again, found.refused) == (again, refused)
    assert found.count == sum(found.rows) == sum(found.seconds) + again + refused


def test_the_next_chunk_is_sent_while_the_last_answers_of_one_are_awaited_and_both_share_the_window() -> None:
    transport, sent = SlowTransport(doubled), threading.Event()
    scorer = ModelScorer(replace(NUMBERS, max_batch_size=4), transport, TIMEOUT_S)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(scorer.score, prepared(4), np.full(4, True), None, sent.set)
        assert sent.wait(10)
        second = pool.submit(scorer.score, prepared(40), np.full(40, True))
        try:
            for _ in range(LEAST):
                assert transport.came.acquire(timeout=10)
            assert not transport.came.acquire(timeout=0.05)
        finally:
            transport.may_answer.set()
    for chunk, rows in ((first, 4), (second, 40)):
        assert chunk.result().columns["y"].to_pylist() == [2.0 * row for row in range(rows)]
    assert transport.most_in_flight == LEAST


def test_a_chunk_that_fails_leaves_the_window_to_the_next() -> None:
    scorer = ModelScorer(replace(NUMBERS, max_batch_size=1), FakeTransport(failing(3, FatalError("no"))), TIMEOUT_S)
    for _ in range(3):
        with pytest.raises(FatalError, match="no"):
            scorer.score(prepared(1), np.full(1, True))
    column = scorer.score(prepared(5), np.full(5, True)).columns["y"]
    assert column.to_pylist() == [2.0 * row for row in range(5)]


def test_the_window_is_kept_from_chunk_to_chunk() -> None:
    scorer = ModelScorer(NUMBERS, WatchedTransport(doubled), TIMEOUT_S)
    window = scorer.window
    scorer.score(prepared(4), np.ones(4, np.bool_))
    assert scorer.window is window


def not_finite(request: Request) -> Tensors:
    """Row 1 is NaN, row 2 infinite."""
    x = request.inputs["x"][:, 0]
    return {"y": np.select([x == 1, x == 2], [np.nan, -np.inf], x).astype(np.float32)}


def test_a_row_whose_answer_is_not_finite_is_refused_with_the_output_and_how_many() -> None:
    found = scored(FakeTransport(not_finite), 4)
    told = Rejection(NONFINITE, "1 of 1 numbers of output 'y' are NaN or infinite")
    assert found.refused == {1: told, 2: told}
    assert found.columns["y"].to_pylist() == [0, None, None, 3]


def test_answers_that_are_not_finite_are_kept_where_that_is_wanted() -> None:
    scorer = ModelScorer(NUMBERS, FakeTransport(not_finite), TIMEOUT_S, keep_nonfinite=True)
    found = scorer.score(prepared(4), np.ones(4, np.bool_))
    assert found.refused == {}
    np.testing.assert_array_equal(found.columns["y"].to_numpy(), [0, np.nan, -np.inf, 3])


def lethal(*guilty: int) -> MortalTransport:
    return MortalTransport(doubled, lambda request: bool(np.isin(request.inputs["x"][:, 0], guilty).any()))


def patiently_scored(transport: FakeTransport, rows: int) -> Scored:
    with stamina.set_testing(True, attempts=5):  # no pauses
        return ModelScorer(NUMBERS, transport, 60).score(prepared(rows), np.ones(rows, np.bool_))


def test_a_row_that_kills_the_server_each_time_is_refused_and_no_other() -> None:
    transport = lethal(6)
    found = patiently_scored(transport, 16)
    assert found.columns["y"].to_pylist() == [None if row == 6 else row * 2 for row in range(16)]
    refusal = found.refused.pop(6)
    assert (found.refused, refusal.error) == ({}, "ServerDiedError")
    assert refusal.message == (
        "server fake was ready, got this request and died, 3 times: server fake: Socket closed (UNAVAILABLE)"
    )
    # In company, alone, both halves in which it was, twice each, and three times without the others.
    assert transport.deaths <= 1 + 1 + 2 * 2 + 3


def test_rows_that_were_in_flight_when_the_server_died_are_not_to_blame() -> None:
    transport = lethal(3, 9)
    assert set(patiently_scored(transport, 40).refused) == {3, 9}
