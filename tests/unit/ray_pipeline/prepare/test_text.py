from __future__ import annotations

import pyarrow as pa
import pytest

from ray_pipeline.prepare.text import prepare_text
from tests.support.job_models import BEGIN, END, UNKNOWN, WORDS, text_preparation, tokenizer

ONE, TWO, THREE = WORDS["one"], WORDS["two"], WORDS["three"]


def prepared(texts: pa.Array, *, max_tokens: int = 8, reasons: list[str | None] | None = None) -> pa.Array:
    noted: list[str | None] = reasons if reasons is not None else [None] * len(texts)
    preparation = text_preparation(max_tokens=max_tokens)
    return prepare_text(pa.chunked_array([texts]), "body", tokenizer(), preparation, noted)


def test_a_text_becomes_its_tokens_between_the_special_ones() -> None:
    ids = prepared(pa.array(["one two", "three", "", "one four"]))
    assert ids.type == pa.list_(pa.int32())
    assert ids.to_pylist() == [[BEGIN, ONE, TWO, END], [BEGIN, THREE, END], [BEGIN, END], [BEGIN, ONE, UNKNOWN, END]]


def test_a_long_text_is_cut_and_keeps_its_special_tokens() -> None:
    (ids,) = prepared(pa.array(["one two three one two three"]), max_tokens=4).to_pylist()
    assert ids == [BEGIN, ONE, TWO, END]


def test_null_is_not_text() -> None:
    reasons: list[str | None] = [None, None]
    assert prepared(pa.array(["one", None]), reasons=reasons).to_pylist() == [[BEGIN, ONE, END], None]
    assert reasons == [None, "column 'body': null is not text"]


def test_bytes_that_are_not_utf_8_are_rejected_and_their_neighbours_are_not() -> None:
    texts = pa.array([b"one", b"\xff\xfe", None, b"two"]).cast(pa.string(), safe=False)
    reasons: list[str | None] = [None] * 4
    assert prepared(texts, reasons=reasons).to_pylist() == [[BEGIN, ONE, END], None, None, [BEGIN, TWO, END]]
    assert reasons[1] == "column 'body': the text is not valid UTF-8"
    assert reasons[2] == "column 'body': null is not text"


def test_a_row_that_is_rejected_already_keeps_its_reason() -> None:
    reasons: list[str | None] = ["not JSON", None]
    assert prepared(pa.array([None, "one"]), reasons=reasons).to_pylist() == [None, [BEGIN, ONE, END]]
    assert reasons == ["not JSON", None]


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_every_arrow_type_of_text_is_read(kind: pa.DataType) -> None:
    assert prepared(pa.array(["one", "one"]).cast(kind)).to_pylist() == [[BEGIN, ONE, END]] * 2


def test_a_column_without_any_text_is_rejected_row_by_row() -> None:
    reasons: list[str | None] = [None, None]
    assert prepared(pa.nulls(2), reasons=reasons).to_pylist() == [None, None]
    assert all(reasons)
