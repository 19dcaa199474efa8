"""The record of a job: pages that are written now and then, and read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from ray_pipeline.errors import OutputError
from ray_pipeline.sinks.part import PartResult
from ray_pipeline.telemetry.course import Batches, BatchSeen, Committed, Course
from ray_pipeline.telemetry.record import FLUSH_S, FOLDER, Record, Run, read_record
from triton_models.storage import open_storage


def committed(number: int) -> Committed:
    each = (BatchSeen(1.0, 0.0, 0.1, 32),)
    return Committed(PartResult(f"{number:032x}", 9, 1, 100, ""), Course(node="n1", batches=Batches(each=each)))


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_pages_come_every_few_seconds_and_at_the_end(tmp_path: Path) -> None:
    output, clock = open_storage(str(tmp_path)), Clock()
    record = Record(output, Run.begun(("n1",)), clock)
    for number in range(4):
        clock.now_s += 0.6 * FLUSH_S
        record.take(committed(number))
    record.close(None)

    pages = [page for _, page in read_record(output)]
    assert [len(page.committed) for page in pages] == [0, 2, 2, 0]
    assert [page.over for page in pages] == [False, False, False, True]
    assert [one.part.chunk for page in pages for one in page.committed] == [f"{number:032x}" for number in range(4)]


def test_what_was_kept_for_a_trace_is_left_out(tmp_path: Path) -> None:
    output = open_storage(str(tmp_path))
    record = Record(output, Run.begun(()))
    record.take(committed(1))
    record.close(None)
    (one,) = [one for _, page in read_record(output) for one in page.committed]
    assert one.course.batches.each == ()


def test_reading_goes_on_behind_a_page(tmp_path: Path) -> None:
    output = open_storage(str(tmp_path))
    first, second = Run("1", 1.0, ()), Run("2", 2.0, ())
    Record(output, first).close("the server is away")
    Record(output, second).close(None)
    pages = list(read_record(output))
    assert [(page.run.id, page.error) for _, page in pages] == [
        ("1", None),
        ("1", "the server is away"),
        ("2", None),
        ("2", None),
    ]
    assert list(read_record(output, pages[1][0])) == pages[2:]


def test_a_page_that_cannot_be_written_comes_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output, clock = open_storage(str(tmp_path)), Clock()
    record = Record(output, Run.begun(()), clock)
    folder = tmp_path / FOLDER
    elsewhere = folder.rename(tmp_path / "elsewhere")
    folder.write_text("in the way")
    clock.now_s = FLUSH_S
    record.take(committed(1))
    folder.unlink()
    elsewhere.rename(folder)
    record.close(None)
    assert [len(page.committed) for _, page in read_record(output)] == [0, 1]


def test_what_is_no_page_is_named(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "x.json").write_text('{"run": 7}')
    with pytest.raises(OutputError, match=r"_record/x\.json is no page of a record .*; delete it"):
        list(read_record(open_storage(str(tmp_path))))
