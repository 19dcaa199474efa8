"""The course of a chunk travels with its rows."""

from __future__ import annotations

import time

import pyarrow as pa
import pytest

from ray_pipeline.chunk import COURSE
from ray_pipeline.sinks.part import PartResult
from ray_pipeline.telemetry.course import Batches, Committed, Course, Laps, LimitSeen, Stage, course_of

COURSE_SO_FAR = Course(
    "10.0.0.1",
    read=Stage(100.0, 1.0),
    prepare=Stage(101.0, 2.0),
    score=Stage(110.0, 5.0),
    write=Stage(120.0, 0.5),
    batches=Batches(count=2, permit_s=1.5, limits=(LimitSeen(111.0, 1, None, "nobody is online"),)),
    rejections={"prepare: NoText": 1},
)


def test_a_stage_begins_where_the_one_before_ended() -> None:
    laps = Laps()
    time.sleep(0.01)
    first, second = laps.lap(), laps.lap()
    assert first.took_s >= 0.01
    assert second.began_s == pytest.approx(first.began_s + first.took_s)
    assert second.took_s < first.took_s


def test_a_table_carries_it_in_its_first_row() -> None:
    table = COURSE_SO_FAR.on(pa.table({"id": [1, 2, 3]}))
    assert course_of(table) == COURSE_SO_FAR
    assert table[COURSE].to_pylist()[1:] == [None, None]


def test_a_later_course_takes_the_place_of_an_earlier_one() -> None:
    table = COURSE_SO_FAR.on(Course().on(pa.table({"id": [1]})))
    assert course_of(table) == COURSE_SO_FAR
    assert table.column_names == ["id", COURSE]


def test_a_table_of_which_nobody_said_anything_has_an_empty_course() -> None:
    assert course_of(pa.table({"id": [1]})) == Course()


def test_scoring_is_told_without_the_wait_for_permits() -> None:
    assert COURSE_SO_FAR.seconds() == {"read": 1.0, "prepare": 2.0, "permit": 1.5, "infer": 3.5, "write": 0.5}


def test_a_result_row_gives_back_what_it_was_made_of() -> None:
    committed = Committed(PartResult("c1", 2, 1, 77, "f" * 64), COURSE_SO_FAR)
    assert Committed.of_json(committed.to_json()) == committed


def test_what_is_no_result_row_is_refused() -> None:
    with pytest.raises(ValueError, match="part"):
        Committed.of_json('{"course": {}}')
