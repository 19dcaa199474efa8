from __future__ import annotations

from io import StringIO
from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console

from ray_pipeline.output.left import Left
from ray_pipeline.output.steering import Steering
from ray_pipeline.output.success import Totals
from ray_pipeline.plan import Plan
from ray_pipeline.refresh import Refresh
from ray_pipeline.report import Report
from ray_pipeline.sharing.choice import LaneChoice
from ray_pipeline.sharing.lane import Manners
from ray_pipeline.sharing.limit import Bound
from ray_pipeline.sinks.part import PartResult
from ray_pipeline.transport.choose import Choice
from tests.support.chunks import chunk_of_rows
from tests.support.job_models import tensor_model, text_model
from triton_models.storage import open_storage

CHUNKS = tuple(chunk_of_rows(1000, first_row=first) for first in (0, 1000, 2000))
PLAN = Plan("s3://corpus/texts", pa.schema([]), CHUNKS)
OUT = "s3://corpus/a [very] long/folder/" + "with-a-name-that-is-wider-than-a-terminal/" * 3


SHARED = Choice("shared_memory", "it is here")
GRPC = Choice("grpc", "it is [not] here")
USERS, BULK = "localhost:8001", "localhost:8101"
LEFT = f"{USERS} is left to its online users"


@pytest.fixture
def printed() -> StringIO:
    return StringIO()


@pytest.fixture
def report(printed: StringIO) -> Report:
    return Report(Console(file=printed, width=80), OUT)


def test_a_job_is_told_in_plain_lines(report: Report, printed: StringIO) -> None:
    report.planned(PLAN)
    report.resolved([text_model(), tensor_model()], ["a", "b"])
    report.remaining(Left(CHUNKS))
    results = [PartResult(chunk.id, 999, 1, 7, "") for chunk in CHUNKS]
    assert list(report.watched(iter(results))) == results
    report.finished(Totals(3000, 2997, 3, 3))
    lines = printed.getvalue().splitlines()
    assert lines[:3] == [
        "input   s3://corpus/texts: 3,000 rows in 3 chunks",
        f"output  {OUT}",
        "model   words version 1, numbers version 1, on 2 nodes",
    ]
    assert lines[3].startswith("done    3,000 rows = 2,997 scored + 3 rejected, in 3 parts; this run took ")
    assert lines[4:] == [f"        {OUT}/data", f"        {OUT}/rejected names the rejected rows, and why"]
    assert "\x1b" not in printed.getvalue()


@pytest.mark.parametrize(
    ("ways", "lines"),
    [
        ([SHARED], ["send    through shared memory: it is here"]),
        ([SHARED, SHARED], ["send    through shared memory: it is here"]),
        (
            [SHARED, GRPC, SHARED],
            [
                "send    through shared memory on 2 of 3 nodes: it is here",
                "send    through gRPC on 1 of 3 nodes: it is [not] here",
            ],
        ),
    ],
)
def test_how_batches_reach_the_servers_is_told_with_the_reason(
    report: Report, printed: StringIO, ways: list[Choice], lines: list[str]
) -> None:
    report.connected(ways)
    assert printed.getvalue().splitlines() == lines


@pytest.mark.parametrize(
    ("online", "bulk_url", "told"),
    [
        (None, None, "a second server on each node takes what nobody else wants"),
        (USERS, None, f"a second server on each node takes what nobody else wants; {LEFT}"),
        (USERS, BULK, f"{BULK} on each node takes what nobody else wants; {LEFT}"),
    ],
)
def test_a_lane_of_its_own_is_told(
    report: Report, printed: StringIO, tmp_path: Path, online: str | None, bulk_url: str | None, told: str
) -> None:
    lane = LaneChoice("own", "there is [much] memory")
    report.lane(Manners(open_storage(str(tmp_path)), lane, None, tmp_path, bulk_url=bulk_url), online)
    assert printed.getvalue().splitlines() == [
        "lane    own: there is [much] memory",
        f"        {told}",
    ]


@pytest.mark.parametrize(
    ("bound", "most"), [(Bound(0.9, slo_s=0.04), "40 ms"), (Bound(0.9, max_slowdown=1.5), "1.5 times as long")]
)
def test_a_shared_lane_is_told_with_what_is_unsafe_about_it(
    report: Report, printed: StringIO, bound: Bound, most: str
) -> None:
    lane = LaneChoice("shared", "no memory")
    report.lane(Manners(open_storage("/out"), lane, bound, Path("/home/me/.rayton")), "localhost:8001")
    report.cautions(["minilm: instance_group has 1 instance"])
    assert printed.getvalue().splitlines() == [
        "lane    shared: no memory",
        f"        90% of online users wait at most {most}; what limits the job is told in",
        "        /home/me/.rayton/logs/limiter-*.jsonl of each node",
        "caution minilm: instance_group has 1 instance",
    ]


def test_a_job_that_was_paused_before_it_began_says_so(report: Report, printed: StringIO) -> None:
    report.steered(Steering())
    assert printed.getvalue() == ""
    report.steered(Steering(paused=True))
    assert printed.getvalue() == f"by hand paused; `rayton resume {OUT}` lets it go on\n"


def test_a_job_without_rejected_rows_does_not_send_anyone_to_look_for_them(report: Report, printed: StringIO) -> None:
    report.finished(Totals(10, 10, 0, 1))
    assert "rejected names" not in printed.getvalue()


def test_a_run_that_resumes_says_what_is_left(report: Report, printed: StringIO) -> None:
    report.remaining(Left(CHUNKS[1:], 1))
    assert printed.getvalue() == "resume  1 chunks are committed, 2 with 2,000 rows are left\n"


def test_what_becomes_of_a_node_is_told(report: Report, printed: StringIO) -> None:
    report.node("node 10.0.0.1 (aaaaaaaa): [gone]")
    assert printed.getvalue() == "nodes   node 10.0.0.1 (aaaaaaaa): [gone]\n"


def test_a_refresh_says_how_the_input_differs(report: Report, printed: StringIO) -> None:
    report.refreshed(Refresh(PLAN, ("a", "b"), ("c",), ()))
    assert printed.getvalue().splitlines() == ["refresh 2 new, 1 changed, 0 vanished objects", "        changed: c"]


def test_a_job_that_was_complete_says_that_nothing_was_done(report: Report, printed: StringIO) -> None:
    report.already_complete(Totals(10, 9, 1, 1))
    first = printed.getvalue().splitlines()[0]
    assert first == "done    10 rows = 9 scored + 1 rejected, in 1 parts; the job was complete before"


def test_a_terminal_sees_rows_and_pace() -> None:
    printed = StringIO()
    report = Report(Console(file=printed, force_terminal=True, width=120), OUT)
    report.remaining(Left(CHUNKS))
    for _ in report.watched(iter([PartResult(chunk.id, 1000, 0, 7, "") for chunk in CHUNKS])):
        pass
    assert "3,000 of 3,000 rows" in printed.getvalue()
    assert "rows/s, 0s left" in printed.getvalue()


def test_rejected_rows_that_are_scored_again_are_all_that_is_left(report: Report, printed: StringIO) -> None:
    left = Left(CHUNKS[1:], 2, {CHUNKS[1].id: 7}, 0)
    report.remaining(left)
    for _ in report.watched(iter([PartResult(CHUNKS[1].id, 1000, 0, 7, "")])):
        pass
    assert left.rows == 1007
    assert printed.getvalue().splitlines() == [
        "resume  2 chunks are committed, 1 with 1,000 rows are left",
        "retry   7 rejected rows of 1 chunks are scored again",
    ]
