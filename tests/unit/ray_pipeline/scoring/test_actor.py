from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from ray_pipeline.chunk import ERROR, REASON, STAGE, chunk_of
from ray_pipeline.errors import FatalError, RefusedError
from ray_pipeline.prepare.rows import prepare
from ray_pipeline.scoring.actor import score_chunk
from ray_pipeline.scoring.model import ModelScorer
from ray_pipeline.transport.base import Request, Tensors
from ray_pipeline.transport.fake import FakeTransport
from tests.support.chunks import chunk_of_rows, read_table
from tests.support.job_models import Y, tensor_model, text_model
from triton_models.tensors import TensorSpec

WORDS = text_model(outputs=(TensorSpec("length", "FP32", ()),))
NUMBERS = tensor_model(outputs=(Y,))
ROWS = read_table(
    {"id": [10, 11, 12, 13], "body": ["one", "two two", None, "three"], "x": [1.0, -1.0, 3.0, 4.0]}, first_row=8
)


def answer(request: Request) -> Tensors:
    if request.model == WORDS.name:
        return {"length": request.inputs["mask"].sum(axis=1).astype(np.float32)}
    if (request.inputs["x"] < 0).any():
        raise RefusedError("negative")
    return {"y": request.inputs["x"][:, 0] * 2}


def scored(*order: str) -> tuple[pa.Table, FakeTransport]:
    transport = FakeTransport(answer)
    models = {"words": WORDS, "numbers": NUMBERS}
    scorers = [ModelScorer(models[name], transport, 1.0) for name in order]
    return score_chunk(prepare(ROWS, [models[name] for name in order], ["id"]), scorers), transport


def test_every_model_adds_its_columns() -> None:
    table, _ = scored("words", "numbers")
    assert [name for name in table.column_names if not name.startswith("__")] == ["id", "length", "y"]
    assert table["id"].to_pylist() == [10, 11, 12, 13]
    assert table["length"].to_pylist() == [3, 4, None, 3]
    assert table["y"].to_pylist() == [2, None, None, 8]


def test_a_row_that_one_model_refused_has_its_reason_and_stage() -> None:
    table, _ = scored("words", "numbers")
    assert table[STAGE].to_pylist() == [None, "score", "prepare", None]
    assert table[ERROR].to_pylist() == [None, "RefusedError", "NullValue", None]
    assert table[REASON].to_pylist() == [None, "negative", "column 'body': null is not text", None]


def test_a_row_that_one_model_refused_is_not_sent_to_the_next() -> None:
    table, transport = scored("numbers", "words")
    assert table["length"].to_pylist() == [3, None, None, 3]
    sent = sum(len(request.inputs["ids"]) for request in transport.requests if request.model == "words")
    assert sent == 2


def test_a_scored_table_is_still_exactly_its_chunk_and_carries_nothing_prepared() -> None:
    table, _ = scored("words", "numbers")
    assert chunk_of(table) == chunk_of_rows(4, first_row=8)
    assert [name for name in table.column_names if ":" in name] == []


def not_finite(request: Request) -> Tensors:
    x = request.inputs["x"][:, 0]
    return {"y": np.where(x == 3, np.float32("nan"), x)}


def scorers(*, keep_nonfinite: bool = False) -> list[ModelScorer]:
    return [ModelScorer(NUMBERS, FakeTransport(not_finite), 1.0, keep_nonfinite=keep_nonfinite)]


def test_an_answer_that_is_not_finite_rejects_its_row() -> None:
    table = score_chunk(prepare(ROWS, [NUMBERS], ["id"]), scorers())
    assert table[STAGE].to_pylist() == [None, None, "score", None]
    assert table[REASON].to_pylist()[2] == "1 of 1 numbers of output 'y' are NaN or infinite"
    assert table["y"].to_pylist() == [1, -1, None, 4]


def test_an_answer_that_is_not_finite_ends_the_job_where_that_is_wanted_and_names_object_and_row() -> None:
    with pytest.raises(FatalError, match=r"^a\.parquet row 10: 1 of 1 numbers of output 'y' are NaN or infinite; "):
        score_chunk(prepare(ROWS, [NUMBERS], ["id"]), scorers(), fail_on_nonfinite=True)


def test_all_is_sent_once_the_last_batch_of_the_last_model_is() -> None:
    transport, asked = FakeTransport(answer), []
    models = [WORDS, NUMBERS]
    scorers = [ModelScorer(model, transport, 1.0) for model in models]
    prepared = prepare(ROWS, models, ["id"])
    score_chunk(prepared, scorers, all_sent=lambda: asked.append([request.model for request in transport.requests]))
    (models_asked,) = asked
    assert set(models_asked) == {WORDS.name, NUMBERS.name}
