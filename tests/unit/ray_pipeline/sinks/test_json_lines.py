from __future__ import annotations

import datetime as dt
import decimal
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_pipeline.sinks.json_lines import JsonLinesSink

SINK = JsonLinesSink()
NAN, INFINITY = float("nan"), float("inf")


def lines(**columns: Any) -> list[str]:
    text: str = SINK.encoded(pa.table(columns)).to_pybytes().decode()
    return text.split("\n")[:-1]


def rows(**columns: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(**columns)]


def vectors(values: Any, kind: pa.DataType, size: int) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.array(values).reshape(-1), kind), size)


def test_a_row_is_a_line_with_the_columns_in_their_order() -> None:
    assert lines(b=[1, 2], a=["x", "ü\n\u2028"]) == [
        '{"b":1,"a":"x"}',
        '{"b":2,"a":"ü\\n\u2028"}',
    ]


TENTH = np.float32(0.1)
FLOAT32S: list[tuple[Any, Any]] = [
    (pa.array([TENTH], pa.float32()), "0.1"),
    (pa.array([0.1], pa.float64()), "0.1"),
    (pa.array([np.float16(0.1)], pa.float16()), "0.099975586"),
    (pa.array([TENTH, None], pa.float32()), "0.1"),
    (vectors([TENTH, TENTH], pa.float32(), 2), "[0.1,0.1]"),
    (pa.array([[TENTH, None]], pa.list_(pa.float32(), 2)), "[0.1,null]"),
    (pa.array([[TENTH], None, []], pa.list_(pa.float32())), "[0.1]"),
    (pa.array([[[TENTH]]], pa.list_(pa.list_(pa.float32()))), "[[0.1]]"),
    (pa.array([[[TENTH]]], pa.large_list(pa.list_(pa.float32(), 1))), "[[0.1]]"),
    (pa.array([{"score": TENTH, "of": "x"}]), '{"score":0.1,"of":"x"}'),
    (
        pa.array([{"score": TENTH, "of": "x"}], pa.struct([("score", pa.float32()), ("of", pa.string())])),
        '{"score":0.1,"of":"x"}',
    ),
]


@pytest.mark.parametrize(("column", "told"), FLOAT32S, ids=[f"{one.type} {one.null_count}" for one, _ in FLOAT32S])
def test_a_float_has_the_digits_of_its_own_type(column: pa.Array, told: str) -> None:
    assert lines(x=column)[0] == f'{{"x":{told}}}'


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=9))
def test_floats_come_back_as_they_were(values: list[float]) -> None:
    column = pa.array(values, pa.float32())
    for form in (column, vectors(values, pa.float32(), len(values)), pa.array([values], pa.list_(pa.float32()))):
        found = np.array([row["x"] for row in rows(x=form)], np.float64).reshape(-1).astype(np.float32)
        assert found.tolist() == column.to_pylist()


def test_nan_and_infinities_are_null() -> None:
    odd = [NAN, INFINITY, -INFINITY, 1.0]
    wanted = [None, None, None, 1.0]
    assert [row["x"] for row in rows(x=pa.array(odd, pa.float32()))] == wanted
    assert [row["x"] for row in rows(x=pa.array(odd, pa.float64()))] == wanted
    assert rows(x=vectors(odd, pa.float32(), 4)) == [{"x": wanted}]
    assert rows(x=pa.array([odd], pa.list_(pa.float64()))) == [{"x": wanted}]


def test_tensors_keep_their_shape() -> None:
    matrix = pa.FixedSizeListArray.from_arrays(vectors(np.arange(12.0), pa.float32(), 2), 3)
    assert rows(x=matrix) == [{"x": [[0, 1], [2, 3], [4, 5]]}, {"x": [[6, 7], [8, 9], [10, 11]]}]
    assert rows(x=matrix.slice(1)) == [{"x": [[6, 7], [8, 9], [10, 11]]}]
    assert rows(x=pa.array([[], []], pa.list_(pa.float32(), 0))) == [{"x": []}, {"x": []}]


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (pa.array([b"\x00\xff"]), "AP8="),
        (pa.array([[b"\x00\xff"]]), ["AP8="]),
        (pa.array([{"a": b"\x00\xff"}]), {"a": "AP8="}),
        (pa.array([b"ab"], pa.binary(2)), "YWI="),
        (pa.array([2**64 - 1], pa.uint64()), 2**64 - 1),
        (pa.array([True]), True),
        (pa.nulls(1), None),
        (pa.array(["x"]).dictionary_encode(), "x"),
        (pa.array([dt.date(2026, 11, 1)]), "2026-11-01"),
        (pa.array([dt.time(1, 2, 3)]), "01:02:03"),
        (pa.array([dt.datetime(2026, 11, 1, 2, 3)]), "2026-11-01T02:03:00"),
        (pa.array([dt.datetime(2026, 11, 1, tzinfo=dt.UTC)]), "2026-11-01T00:00:00+00:00"),
        (pa.array([1], pa.timestamp("ns")), "1970-01-01T00:00:00.000000001"),
        (pa.array([1], pa.timestamp("ns", "Europe/Berlin")), "1970-01-01T01:00:00.000000001+01:00"),
        (pa.array([decimal.Decimal("1.10")]), "1.10"),
        (pa.array([dt.timedelta(days=1, seconds=2)]), "1 day, 0:00:02"),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), [["k", 1]]),
    ],
)
def test_every_type_that_a_column_can_have_is_told(column: pa.Array, told: object) -> None:
    assert rows(x=column) == [{"x": told}]


def test_text_that_is_no_utf_8_is_told_with_a_mark_where_it_is_not() -> None:
    broken = pa.array([b"a\xff", b"b"]).cast(pa.string(), safe=False)
    assert rows(x=broken) == [{"x": "a\ufffd"}, {"x": "b"}]


def test_a_column_in_several_chunks_is_whole() -> None:
    column = pa.chunked_array(
        [pa.array([1.5], pa.float32()), pa.array([], pa.float32()), pa.array([2.5], pa.float32())]
    )
    assert [row["x"] for row in rows(x=column)] == [1.5, 2.5]


def test_no_rows_are_no_lines() -> None:
    assert lines(x=pa.array([], pa.float32()), y=pa.array([], pa.list_(pa.float32(), 3))) == []
