from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.checker import check_every_row_once

Rows = list[tuple[int, float]]
ROWS: Rows = [(0, 1.0), (1, 2.0), (2, float("nan"))]


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def check(folder: Path, *parts: Rows, rejected: tuple[int, ...] = (3,)) -> None:
    for number, rows in enumerate(parts):
        write(folder / "data" / f"part-{number}.parquet", [{"id": row, "y": [y]} for row, y in rows])
    write(
        folder / "rejected" / "part-0.parquet", [{"object": "in.jsonl", "row": row, "reason": "no"} for row in rejected]
    )
    expected = [{"id": row, "y": [y]} for row, y in ROWS]
    check_every_row_once(expected, str(folder), rejected=[("in.jsonl", 3)])


def test_every_row_once_in_any_order_and_nearly_equal_is_good(tmp_path: Path) -> None:
    check(tmp_path, [ROWS[2], (0, 1.000001)], [ROWS[1]])


@pytest.mark.parametrize(
    ("parts", "rejected", "said"),
    [
        ([ROWS[:2]], (3,), r"1 rows are not in data/, such as \[2\]"),
        ([ROWS, ROWS[1:2]], (3,), r"1 rows are too often in data/, such as \[1\]"),
        ([ROWS, [(9, 1.0)]], (3,), r"1 rows are too often in data/, such as \[9\]"),
        ([[ROWS[0], (1, 2.1), ROWS[2]]], (3,), r"1 rows have other values, such as id \[1\]"),
        ([[*ROWS[:2], (2, 0.0)]], (3,), r"1 rows have other values, such as id \[2\]"),
        ([ROWS], (4,), r"1 rows are not in rejected/, such as \[\('in.jsonl', 3\)\]"),
        ([ROWS], (3, 3), r"1 rows are too often in rejected/, such as \[\('in.jsonl', 3\)\]"),
    ],
)
def test_a_lost_a_doubled_a_strange_and_a_wrong_row_are_named(
    tmp_path: Path, parts: list[Rows], rejected: tuple[int, ...], said: str
) -> None:
    with pytest.raises(AssertionError, match=said):
        check(tmp_path, *parts, rejected=rejected)
