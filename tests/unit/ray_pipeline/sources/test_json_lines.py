from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_pipeline.chunk import ERROR, REASON, ROW, STAGE, Piece
from ray_pipeline.errors import InputError
from ray_pipeline.sources.json_lines import JsonLines
from tests.support.sources import object_at, own_columns, read_pieces, read_whole, survey_of
from triton_models.storage import Storage, open_storage

PATH = "a.jsonl"


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    return open_storage(str(tmp_path_factory.mktemp("jsonl")))


def read(storage: Storage, content: str | bytes, rows_per_chunk: int = 2) -> pa.Table:
    assert storage.local is not None
    (storage.local / PATH).write_bytes(content.encode() if isinstance(content, str) else content)
    return read_whole(JsonLines(), storage, PATH, rows_per_chunk)


BLANKS = st.lists(st.sampled_from(["\n", " \n", "\r\n", "\t\n"]), max_size=3).map("".join)


@given(st.lists(st.tuples(BLANKS, st.text(max_size=20)), min_size=1, max_size=30), st.integers(1, 40), st.booleans())
def test_chunks_cover_the_file_whatever_its_lines(
    storage: Storage, lines: list[tuple[str, str]], rows_per_chunk: int, ends_with_newline: bool
) -> None:
    written = "\n".join(blank + json.dumps({"row": row, "text": text}) for row, (blank, text) in enumerate(lines))
    table = read(storage, written + "\n" * ends_with_newline, rows_per_chunk)
    assert own_columns(table).to_pylist() == [{"row": row, "text": text} for row, (_, text) in enumerate(lines)]
    assert table[ROW].to_pylist() == [row % rows_per_chunk for row in range(len(lines))]
    assert table[REASON].null_count == len(lines)


def test_unescaped_text_of_every_language_is_read(storage: Storage) -> None:
    assert read(storage, '{"text": "naïve 文字 🎉\u2028"}\n')["text"].to_pylist() == ["naïve 文字 🎉\u2028"]


def test_a_byte_order_mark_is_no_part_of_the_first_row(storage: Storage) -> None:
    assert read(storage, b'\xef\xbb\xbf{"id": 1}\n')["id"].to_pylist() == [1]


def test_a_column_that_is_not_in_every_row_is_null_there(storage: Storage) -> None:
    table = own_columns(read(storage, '{"a": 1}\n{"b": "x"}\n{"a": 2, "b": "y"}\n'))
    assert table.to_pylist() == [{"a": 1, "b": None}, {"a": None, "b": "x"}, {"a": 2, "b": "y"}]


@pytest.mark.parametrize(
    ("line", "error", "reason"),
    [
        ('{"id": 2', "NotJson", "not JSON: "),
        ("\ufffd", "NotJson", "not JSON: "),
        ("[1, 2]", "NotJson", "not a JSON object but list"),
        ("7", "NotJson", "not a JSON object but int"),
        ("[" * 50_000, "NotJson", "not JSON: nested too deeply"),
        ('{"id": "two"}', "WrongType", "column 'id': 'two' is not int64"),
        ('{"id": true}', "WrongType", "column 'id': True is not int64"),
        ('{"id": 9223372036854775808}', "WrongType", "column 'id': 9223372036854775808 is not int64"),
        ('{"id": 2, "text": 3}', "WrongType", "column 'text': 3 is not string"),
        ('{"id": 2, "text": "\\ud800"}', "WrongType", "column 'text': '\\ud800' is not string"),
        (json.dumps({"id": "long " * 100}), "WrongType", "..."),
    ],
)
def test_a_line_that_cannot_be_a_row_is_rejected_alone(storage: Storage, line: str, error: str, reason: str) -> None:
    good = ['{"id": 0, "text": "a"}', '{"id": 1, "text": "b"}', '{"id": 3, "text": "d"}']
    table = read(storage, "\n".join([*good[:2], line, good[2]]), 4)
    assert reason in table[REASON][2].as_py()
    assert len(table[REASON][2].as_py()) < 120
    assert table[STAGE].to_pylist() == [None, None, "read", None]
    assert table[ERROR].to_pylist() == [None, None, error, None]
    assert [table["id"][row].as_py() for row in (0, 1, 3)] == [0, 1, 3]


def test_bytes_that_are_no_text_are_a_rejected_row(storage: Storage) -> None:
    table = read(storage, b'{"text": "a"}\n{"text": "\xff"}\n')
    assert table["text"].to_pylist() == ["a", None]
    assert table[ERROR].to_pylist() == [None, "NotJson"]
    assert table[REASON][1].as_py().startswith("not JSON: ")


def test_whole_numbers_are_read_where_the_column_holds_floats(storage: Storage) -> None:
    assert read(storage, '{"x": 1}\n{"x": 2.5}\n')["x"].to_pylist() == [1.0, 2.5]


@pytest.mark.parametrize(
    ("usual", "late", "kind"),
    [
        (1, 2.5, "int64"),
        ([1], [1, 2.5], "list<item: int64>"),
        ({"a": 1}, {"a": 2.5}, "struct<a: int64>"),
        ({"a": 1}, {"a": 2, "b": 3}, "struct<a: int64>"),
        ("one", 1, "string"),
    ],
)
def test_a_row_that_does_not_fit_the_first_thousand_is_rejected_and_not_cut(
    storage: Storage, usual: object, late: object, kind: str
) -> None:
    lines = [json.dumps({"x": usual})] * 1000 + [json.dumps({"x": late}), json.dumps({"x": usual})]
    table = read(storage, "\n".join(lines), 2000)
    assert table[ERROR].drop_null().to_pylist() == ["WrongType"]
    assert table[REASON].drop_null().to_pylist() == [f"column 'x': {late} is not {kind}"]
    assert table["x"][1000].as_py() is None
    assert table["x"][1001].as_py() == usual


def test_the_types_of_the_plan_are_those_that_are_read(storage: Storage) -> None:
    storage.write(PATH, b'{"x": 1}\n{"x": 2}\n')
    table = read_pieces(storage, survey_of(JsonLines(), storage, PATH).pieces, pa.schema([("x", pa.float64())]))
    assert own_columns(table).equals(pa.table({"x": [1.0, 2.0]}))


@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\n\t\n"])
def test_a_file_of_blank_lines_has_no_pieces(storage: Storage, content: bytes) -> None:
    storage.write(PATH, content)
    assert survey_of(JsonLines(), storage, PATH).pieces == ()


def test_an_object_that_changed_after_planning_is_an_error(storage: Storage) -> None:
    storage.write(PATH, b'{"x": 1}\n')
    piece = Piece(PATH, object_at(storage, PATH).stamp, 2, 0, 0, 18)
    with pytest.raises(InputError, match=r"found 1 rows; the object changed after planning"):
        read_pieces(storage, (piece,), pa.schema([("x", pa.int64())]))


def test_a_column_whose_name_is_no_text_is_an_error_with_the_name_of_the_file(storage: Storage) -> None:
    storage.write(PATH, b'{"\\ud800": 1}\n')
    with pytest.raises(InputError, match=r"a\.jsonl: the name of a column is not valid Unicode"):
        survey_of(JsonLines(), storage, PATH)
