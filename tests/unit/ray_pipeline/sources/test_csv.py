from __future__ import annotations

import csv
import io

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_pipeline.chunk import ERROR, REASON, ROW
from ray_pipeline.errors import InputError
from ray_pipeline.sources.csv import ROWS_FOR_TYPES, Csv
from tests.support.sources import own_columns, read_whole, survey_of
from triton_models.storage import Storage, open_storage

PATH = "a.csv"


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    return open_storage(str(tmp_path_factory.mktemp("csv")))


def read(storage: Storage, content: str | bytes, rows_per_chunk: int = 2, path: str = PATH) -> pa.Table:
    storage.write(path, content.encode() if isinstance(content, str) else content)
    return read_whole(Csv(), storage, path, rows_per_chunk)


def written(rows: list[list[str]], delimiter: str = ",", line_end: str = "\r\n") -> str:
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerows(rows)
    return file.getvalue()


FIELDS = st.text(st.one_of(st.sampled_from('",\n\r\t; '), st.characters(codec="utf-8")), max_size=12)
BLANKS = st.sampled_from(["", "\n", "\r\n", "\n\n"])


@given(
    st.lists(st.tuples(FIELDS, FIELDS, BLANKS), min_size=1, max_size=20),
    st.integers(1, 25),
    st.sampled_from([("a.csv", ","), ("a.tsv", "\t")]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_pieces_cover_the_file_whatever_its_texts(
    storage: Storage,
    rows: list[tuple[str, str, str]],
    rows_per_chunk: int,
    kind: tuple[str, str],
    line_end: str,
    ends_with_newline: bool,
) -> None:
    path, delimiter = kind
    header = written([["number", "first", "second"]], delimiter, line_end)
    lines = [
        blank + written([[f"n{row}", first, second]], delimiter, line_end)
        for row, (first, second, blank) in enumerate(rows)
    ]
    content = header + "".join(lines)
    table = read(storage, content if ends_with_newline else content.removesuffix(line_end), rows_per_chunk, path)
    assert table["number"].to_pylist() == [f"n{row}" for row in range(len(rows))]
    assert table[ERROR].null_count == len(rows)
    assert table[ROW].to_pylist() == [row % rows_per_chunk for row in range(len(rows))]
    for place, name in enumerate(("first", "second")):
        if table.schema.field(name).type == pa.string():
            assert table[name].to_pylist() == [row[place] for row in rows]
        if pa.types.is_null(table.schema.field(name).type):
            assert {row[place] for row in rows} == {""}


@given(st.binary(max_size=60), st.integers(1, 5))
def test_no_bytes_make_the_pieces_disagree_with_the_whole(
    storage: Storage, garbage: bytes, rows_per_chunk: int
) -> None:
    content = b"a,b\n1,2\n" + garbage + b"\n3,4\n"
    whole, cut = read(storage, content, 1000), read(storage, content, rows_per_chunk)
    assert cut.select(["a", "b", ERROR, REASON]).to_pylist() == whole.select(["a", "b", ERROR, REASON]).to_pylist()


def test_a_quote_inside_a_field_is_a_part_of_it(storage: Storage) -> None:
    table = read(storage, 'id,text\n1,5" pipe\n2,"5"" pipe, black"\n3,"two\nlines"\n')
    assert own_columns(table).to_pylist() == [
        {"id": 1, "text": '5" pipe'},
        {"id": 2, "text": '5" pipe, black'},
        {"id": 3, "text": "two\nlines"},
    ]


@pytest.mark.parametrize(
    ("line", "error", "reason"),
    [
        ("7", "WrongFields", "1 fields instead of 2, beginning with '7'"),
        ("7,a,b", "WrongFields", "3 fields instead of 2, beginning with '7'"),
        ('7,"5" pipe"', "NotCsv", "not CSV: "),
        ("7,a\rb", "NotCsv", "not CSV: "),
        ("seven,a", "WrongType", "column 'id': 'seven' is not int64"),
        ("007,a", "WrongType", "column 'id': '007' is not int64"),
        ("1_0,a", "WrongType", "column 'id': '1_0' is not int64"),
        ("9223372036854775808,a", "WrongType", "column 'id': '9223372036854775808' is not int64"),
        (b"7,\xff", "WrongType", "column 'text': '\\udcff' is not string"),
        (b"\xff" * 99, "WrongFields", "..."),
    ],
)
def test_a_record_that_cannot_be_a_row_is_rejected_alone(
    storage: Storage, line: str | bytes, error: str, reason: str
) -> None:
    good = [*[b"1,a"] * ROWS_FOR_TYPES, line if isinstance(line, bytes) else line.encode(), b"2,b"]
    table = read(storage, b"\n".join([b"id,text", *good]), 300)
    assert table[ERROR].drop_null().to_pylist() == [error]
    assert table[ERROR][ROWS_FOR_TYPES].as_py() == error
    assert reason in table[REASON][ROWS_FOR_TYPES].as_py()
    assert len(table[REASON][ROWS_FOR_TYPES].as_py()) < 120
    assert own_columns(table).to_pylist()[-1] == {"id": 2, "text": "b"}


def test_a_quote_that_is_never_closed_is_a_rejected_row_and_not_a_long_text(storage: Storage) -> None:
    table = read(storage, 'id,text\n1,a\n2,"b\n3,c\n4,d\n', 10)
    assert own_columns(table).to_pylist() == [{"id": 1, "text": "a"}, {"id": None, "text": None}]
    assert table[ERROR].to_pylist() == [None, "NotCsv"]


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        (["1", "-20", "0"], pa.int64(), [1, -20, 0]),
        (["1", "", "3"], pa.int64(), [1, None, 3]),
        (["1", "2.5", "-1e-3", "", ".5", "3."], pa.float64(), [1.0, 2.5, -0.001, None, 0.5, 3.0]),
        (["1.5", "inf", "-Infinity"], pa.float64(), [1.5, float("inf"), float("-inf")]),
        (["007", "042"], pa.string(), ["007", "042"]),
        (["1", "007"], pa.string(), ["1", "007"]),
        (["1.5", "007"], pa.string(), ["1.5", "007"]),
        (["1_000"], pa.string(), ["1_000"]),
        (["+49"], pa.float64(), [49.0]),
        (["-0"], pa.float64(), [0.0]),
        (["9223372036854775807"], pa.int64(), [2**63 - 1]),
        (["9007199254740993", "0.5"], pa.string(), ["9007199254740993", "0.5"]),
        (["12345678901234567890"], pa.string(), ["12345678901234567890"]),
        (["1", "two"], pa.string(), ["1", "two"]),
        (["a", "", "c"], pa.string(), ["a", "", "c"]),
        (["", ""], pa.null(), [None, None]),
        (["\u0661"], pa.string(), ["\u0661"]),
        ([" 1"], pa.string(), [" 1"]),
        (["0x10"], pa.string(), ["0x10"]),
        (["true"], pa.string(), ["true"]),
    ],
)
def test_a_column_has_the_narrowest_type_that_says_all(
    storage: Storage, values: list[str], kind: pa.DataType, found: list[object]
) -> None:
    table = read(storage, "x,y\n" + "".join(f"{value},z\n" for value in values))
    assert (table.schema.field("x").type, table["x"].to_pylist()) == (kind, found)
    assert table[ERROR].null_count == len(values)


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False), min_size=1, max_size=8))
def test_numbers_are_read_as_they_were_written(storage: Storage, values: list[float]) -> None:
    table = read(storage, "x,y\n" + "".join(f"{value!r},z\n" for value in values), 3)
    if table.schema.field("x").type == pa.string():
        assert table["x"].to_pylist() == [repr(value) for value in values]
    else:
        assert table["x"].to_pylist() == values


@pytest.mark.parametrize("header", ["id,text", '"id",text', '"id","text"'])
def test_a_byte_order_mark_is_no_part_of_the_first_name(storage: Storage, header: str) -> None:
    table = read(storage, b"\xef\xbb\xbf" + f"{header}\n1,a\n".encode())
    assert own_columns(table).to_pylist() == [{"id": 1, "text": "a"}]


def test_blank_lines_are_no_rows_before_the_header_either(storage: Storage) -> None:
    table = own_columns(read(storage, "\n\r\nid,text\n\n1,a\n\r\n\n2,b\n3,c\n\n", 2))
    assert table["id"].to_pylist() == [1, 2, 3]


def test_a_field_may_be_longer_than_pythons_own_limit(storage: Storage) -> None:
    long = "long " * 100_000
    assert read(storage, f"id,text\n1,{long}\n")["text"].to_pylist() == [long]


@pytest.mark.parametrize("content", ["", "\n", "id,text\n", "id,text\n\n\r\n"])
def test_a_file_without_records_has_no_pieces(storage: Storage, content: str) -> None:
    storage.write(PATH, content.encode())
    assert survey_of(Csv(), storage, PATH).pieces == ()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"id\rtext\r1\ra", r"a\.csv cannot be read as CSV: its header is not CSV: "),
        (b'"id,text\n1,2', r"a\.csv cannot be read as CSV: its header is not CSV: unexpected end"),
        (b"id,\xff\n1,2", r"a\.csv: the name of a column is not valid UTF-8"),
    ],
)
def test_a_header_that_cannot_be_read_is_an_error(storage: Storage, content: bytes, told: str) -> None:
    storage.write(PATH, content)
    with pytest.raises(InputError, match=told):
        survey_of(Csv(), storage, PATH)
