from __future__ import annotations

import pyarrow as pa
import pytest
from tokenizers import Tokenizer

from ray_pipeline.models import JobModel
from ray_pipeline.prepare.text import prepare_texts
from ray_pipeline.rejection import Rejection, Rejections
from tests.support.job_models import BEGIN, END, UNKNOWN, WORDS, pair_model, text_preparation, tokenizer

ONE, TWO, THREE = WORDS["one"], WORDS["two"], WORDS["three"]
NOT_JSON = Rejection("NotJson", "not JSON")


def prepared(
    texts: pa.Array, *, max_tokens: int = 8, rejections: Rejections | None = None, truncate: bool = True
) -> pa.Array:
    noted: Rejections = rejections if rejections is not None else [None] * len(texts)
    preparation = text_preparation(max_tokens=max_tokens)
    table = pa.table({"body": texts})
    found = prepare_texts(table, {"text": "body"}, tokenizer(), preparation, noted, truncate=truncate)
    assert list(found) == ["ids"]
    return found["ids"]


def prepared_pairs(
    model: JobModel,
    queries: list[str | None],
    passages: list[str | None],
    rejections: Rejections,
    truncate: bool = True,
) -> dict[str, list[list[int] | None]]:
    table = pa.table({"query": pa.array(queries, pa.string()), "passage": pa.array(passages, pa.string())})
    assert model.preparation.kind == "text"
    found = prepare_texts(table, model.columns, model.tokenizer, model.preparation, rejections, truncate=truncate)
    return {name: rows.to_pylist() for name, rows in found.items()}


def test_a_text_becomes_its_tokens_between_the_special_ones() -> None:
    ids = prepared(pa.array(["one two", "three", "", "one four"]))
    assert ids.type == pa.list_(pa.int32())
    assert ids.to_pylist() == [[BEGIN, ONE, TWO, END], [BEGIN, THREE, END], [BEGIN, END], [BEGIN, ONE, UNKNOWN, END]]


def test_a_long_text_is_cut_and_keeps_its_special_tokens() -> None:
    (ids,) = prepared(pa.array(["one two three one two three"]), max_tokens=4).to_pylist()
    assert ids == [BEGIN, ONE, TWO, END]


def test_a_long_text_that_shall_not_be_cut_is_rejected_and_its_neighbours_are_not() -> None:
    rejections: Rejections = [None, None, NOT_JSON]
    texts = pa.array(["one two three", "one two", None])
    assert prepared(texts, max_tokens=4, rejections=rejections, truncate=False).to_pylist() == [
        None,
        [BEGIN, ONE, TWO, END],
        None,
    ]
    assert rejections == [
        Rejection(
            "TooManyTokens",
            "column 'body': 5 tokens are more than the 4 that the model reads; with `truncate` they would be cut",
        ),
        None,
        NOT_JSON,
    ]


def test_what_the_tokenizer_itself_would_cut_at_does_not_count() -> None:
    cutting = Tokenizer.from_str(tokenizer())
    cutting.enable_truncation(3)
    table, preparation = pa.table({"body": ["one two"]}), text_preparation(max_tokens=4)
    for truncate in (True, False):
        found = prepare_texts(table, {"text": "body"}, cutting.to_str(), preparation, [None], truncate=truncate)
        assert found["ids"].to_pylist() == [[BEGIN, ONE, TWO, END]]


def test_null_is_not_text() -> None:
    rejections: Rejections = [None, None]
    assert prepared(pa.array(["one", None]), rejections=rejections).to_pylist() == [[BEGIN, ONE, END], None]
    assert rejections == [None, Rejection("NullValue", "column 'body': null is not text")]


def test_bytes_that_are_not_utf_8_are_rejected_and_their_neighbours_are_not() -> None:
    texts = pa.array([b"one", b"\xff\xfe", None, b"two"]).cast(pa.string(), safe=False)
    rejections: Rejections = [None] * 4
    assert prepared(texts, rejections=rejections).to_pylist() == [[BEGIN, ONE, END], None, None, [BEGIN, TWO, END]]
    assert rejections[1] == Rejection("NotUtf8", "column 'body': the text is not valid UTF-8")
    assert rejections[2] == Rejection("NullValue", "column 'body': null is not text")


def test_a_row_that_is_rejected_already_keeps_its_reason() -> None:
    rejections: Rejections = [NOT_JSON, None]
    assert prepared(pa.array([None, "one"]), rejections=rejections).to_pylist() == [None, [BEGIN, ONE, END]]
    assert rejections == [NOT_JSON, None]


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_every_arrow_type_of_text_is_read(kind: pa.DataType) -> None:
    assert prepared(pa.array(["one", "one"]).cast(kind)).to_pylist() == [[BEGIN, ONE, END]] * 2


def test_a_column_without_any_text_is_rejected_row_by_row() -> None:
    rejections: Rejections = [None, None]
    assert prepared(pa.nulls(2), rejections=rejections).to_pylist() == [None, None]
    assert all(rejections)


def test_a_pair_becomes_one_row_with_the_types_of_its_tokens() -> None:
    rejections: Rejections = [None, None]
    found = prepared_pairs(pair_model(), ["one two", ""], ["three", "one"], rejections)
    assert found == {
        "ids": [[BEGIN, ONE, TWO, END, THREE, END], [BEGIN, END, ONE, END]],
        "types": [[0, 0, 0, 0, 1, 1], [0, 0, 1, 1]],
    }
    assert rejections == [None, None]


def test_of_a_pair_that_is_too_long_the_longer_text_is_cut() -> None:
    found = prepared_pairs(pair_model(max_tokens=7), ["one " * 9], ["two three"], [None])
    assert found["ids"] == [[BEGIN, ONE, ONE, END, TWO, THREE, END]]


def test_a_pair_that_is_too_long_and_shall_not_be_cut_is_rejected_as_a_whole() -> None:
    rejections: Rejections = [None, None]
    found = prepared_pairs(pair_model(max_tokens=6), ["one two", "one"], ["two three", "two"], rejections, False)
    assert found == {"ids": [None, [BEGIN, ONE, END, TWO, END]], "types": [None, [0, 0, 0, 1, 1]]}
    (too_long, good) = rejections
    assert too_long is not None
    assert too_long.error == "TooManyTokens"
    assert too_long.message.startswith("columns 'query' and 'passage': 7 tokens are more than the 6 that")
    assert good is None


def test_a_model_without_types_gets_none() -> None:
    assert list(prepared_pairs(pair_model(types=None), ["one"], ["two"], [None])) == ["ids"]


def test_half_a_pair_is_rejected_and_says_which_half_is_missing() -> None:
    rejections: Rejections = [None, None, None, NOT_JSON]
    found = prepared_pairs(pair_model(), [None, "one", "one", "one"], ["one", None, "two", "two"], rejections)
    assert [row is None for row in found["ids"]] == [row is None for row in found["types"]] == [True, True, False, True]
    assert rejections == [
        Rejection("NullValue", "column 'query': null is not text"),
        Rejection("NullValue", "column 'passage': null is not text"),
        None,
        NOT_JSON,
    ]
