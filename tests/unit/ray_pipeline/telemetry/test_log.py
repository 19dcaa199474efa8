"""The log of a job."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ray_pipeline.sinks.part import PartResult
from ray_pipeline.telemetry.course import Batches, Committed, Course, Stage
from ray_pipeline.telemetry.log import JobLog, log_file_of
from ray_pipeline.telemetry.record import Run

RUN = Run("run-1", 1.0, ("a",))


def lines(job: str, home: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log_file_of(job, home).read_text().splitlines()]


def test_every_line_has_the_ids(tmp_path: Path) -> None:
    log = JobLog("s3://corpus/out", RUN, tmp_path)
    course = Course("a", read=Stage(1.0, 0.5), batches=Batches(count=3), rejections={"read: NotJson": 1})
    log.take(Committed(PartResult("c1", 9, 1, 100, ""), course))
    log.close("no node has a server")

    began, chunk, ended = lines("s3://corpus/out", tmp_path)
    assert all((line["job"], line["run"]) == ("s3://corpus/out", "run-1") for line in (began, chunk, ended))
    assert (began["event"], began["nodes"]) == ("run began", ["a"])
    assert (chunk["event"], chunk["chunk"], chunk["node"], chunk["scored"]) == ("chunk committed", "c1", "a", 9)
    assert chunk["seconds"] == {"read": 0.5, "prepare": 0.0, "permit": 0.0, "infer": 0.0, "write": 0.0}
    assert (ended["event"], ended["error"]) == ("run failed", "no node has a server")


def test_a_resumed_job_goes_on_in_the_same_file(tmp_path: Path) -> None:
    for _ in range(2):
        JobLog("/data/out", RUN, tmp_path).close(None)
    assert [line["event"] for line in lines("/data/out", tmp_path)] == ["run began", "run ended"] * 2


def test_a_job_goes_on_where_no_log_can_be_written(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("in the way")
    log = JobLog("/data/out", RUN, home)
    log.take(Committed(PartResult("c1", 9, 1, 100, ""), Course()))
    log.close(None)
    assert log.place == f"none: {log_file_of('/data/out', home)} cannot be written (Not a directory)"


@pytest.mark.parametrize("job", ["s3://b/" + "x" * 500, "/a b/ü/../c", "s3://bucket"])
def test_the_name_of_the_file_is_short_and_plain(job: str, tmp_path: Path) -> None:
    path = log_file_of(job, tmp_path)
    assert path.parent == tmp_path / "logs"
    assert len(path.name) < 90
    assert path.name.isascii()
    assert log_file_of(f"{job}/", tmp_path) != path
