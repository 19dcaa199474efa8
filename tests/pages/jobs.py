"""A bucket is scored: planned, run, watched, steered, told of, checked, mended, and run again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq

from ray_pipeline.output.claim import PLAN_FILE
from ray_pipeline.output.success import SUCCESS_FILE
from ray_pipeline.telemetry import metrics
from ray_pipeline.telemetry.course import LimitSeen
from ray_pipeline.telemetry.record import read_record
from tests.pages.place import OUTPUT, PATIENCE_S, Place
from tests.pages.terminal import Terminal
from tests.support.collector import collecting
from tests.support.told import block
from tests.support.waiting import until
from triton_models.errors import ServerError
from triton_models.server.metrics import Sample, read_metrics
from triton_models.storage import Storage, open_storage

ROWS, BAD, NEW, CHANGED = 300, 1, 100, 150
"""Rows of the first day, those of them that have no text, and rows of the second day, before and after it changes."""


def write_job(place: Place) -> None:
    """The job file of the README, and the texts of the first day."""
    (place.folder / "job.toml").write_text(place.here(block("[input]")))
    write_day(place, 1, ROWS, BAD)


def share_with_nobody(place: Place) -> None:
    """Leaves [sharing] out of the job file: the job takes what it can get, and starts no server."""
    job = place.folder / "job.toml"
    job.write_text(re.sub(r"(?ms)^\[sharing\].*?^\[", "[", job.read_text()))


def write_day(place: Place, day: int, rows: int, bad: int = 0) -> None:
    """The object of a day."""
    bodies = [None if row < bad else f"a text with the number {row}" for row in range(rows)]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": [f"{day}-{row}" for row in range(rows)], "body": bodies}), sink)
    open_storage("s3://corpus/texts", place.store).write(f"day=2026-11-0{day}/texts.parquet", sink.getvalue())


def planned_scored_and_looked_at(place: Place, cluster: dict[str, str]) -> None:
    """The first run, as somebody else sees it."""
    planned = place.run("rayton plan job.toml")
    assert f"input   s3://corpus/texts: {ROWS} rows in 1 chunks" in planned
    assert f"left    1 chunks with {ROWS} rows, how long that takes is not known" in planned

    job = place.start("rayton score job.toml", cluster)
    until(lambda: output(place).stat(PLAN_FILE) is not None, "the job has made its plan", PATIENCE_S)
    shown = place.run(f"rayton watch {OUTPUT}").splitlines()
    printed = place.ended(job)
    total = f"{ROWS} rows = {ROWS - BAD} scored + {BAD} rejected, in 1 parts"
    assert shown[0].startswith(f"0 of {ROWS} rows, 0 rows/s")
    assert f"done    {total}" in shown
    assert f"done    {total}; this run took " in printed
    assert "lane    own: as the job file says\n" in printed
    assert rows_of(place) == ROWS - BAD
    assert "        the job is complete\n" in place.run(f"rayton status {OUTPUT}")


def a_night_later(place: Place, cluster: dict[str, str]) -> None:
    """There is a new object, and an operator who pauses the job, limits it and lets it go on."""
    write_day(place, 2, NEW)
    assert place.run(f"rayton pause {OUTPUT}").startswith(f"{OUTPUT}: paused; `rayton resume` lets it go on; ")
    job = place.start("rayton score job.toml --refresh", cluster)
    until(
        lambda: 0 in limits_by_metrics(place),
        "the node that scores tells in its metrics that the job is paused",
        PATIENCE_S,
    )
    assert "run     a run is working on it: " in place.run(f"rayton status {OUTPUT}")
    with Terminal() as terminal:
        watch = place.start(f"rayton watch {OUTPUT}", terminal=terminal)
        place.run(f"rayton limit {OUTPUT} 1")
        assert place.run(f"rayton resume {OUTPUT}").startswith(f"{OUTPUT}: goes on; ")
        shown = terminal.shown(watch)
    printed = place.ended(job)
    assert "refresh 1 new, 0 changed, 0 vanished objects" in printed
    assert f"1 chunks are committed, 1 with {NEW} rows are left" in printed
    assert "in flight" in shown
    assert "the server is the job's own" in shown
    limits = [(limit.in_flight, limit.cause) for limit in heard(place)]
    assert limits[-2:] == [(0, "paused by hand"), (1, "the server is the job's own")]
    assert rows_of(place) == ROWS - BAD + NEW


def mended(place: Place) -> None:
    """A part is damaged, and made anew by a run on this machine that offers metrics. It is reported meanwhile, for
    which it is paused.
    """
    whole = f"{OUTPUT}: 2 parts with {ROWS + NEW} rows are there, unchanged, and add up\n"
    assert place.run(f"rayton verify {OUTPUT}") == whole
    output(place).write(part := smallest_part(place), b"no part")
    assert f"{part}: its content is not what was written" in place.run(f"rayton verify {OUTPUT}", status=1)
    lose_a_part(place)
    place.run(f"rayton pause {OUTPUT}")
    job = place.start("rayton score job.toml --metrics-port 8003")
    until(lambda: tells_metrics(place.here("8003")), "the job's own Ray tells metrics", PATIENCE_S)
    reported(place)
    place.run(f"rayton resume {OUTPUT}")
    assert f"resume  1 chunks are committed, 1 with {NEW} rows are left" in place.ended(job)
    assert place.run(f"rayton verify {OUTPUT}") == whole


def reported(place: Place) -> None:
    """Two reports at once; only one has been told what a node costs."""
    costly = f"rayton report {OUTPUT} --html nightly.html --price-per-node-hour 1.20"
    pages = {f"rayton report {OUTPUT}": "rayton-report-embeddings.html", costly: "nightly.html"}
    started = {line: place.start(line) for line in pages}
    for line, name in pages.items():
        assert place.ended(started[line]) == f"report  {place.folder / name}\n"
        page = (place.folder / name).read_text()
        assert OUTPUT in page
        assert ("cost" in page.lower()) is (line == costly)


def changed_and_tried_again(place: Place, cluster: dict[str, str]) -> None:
    """An object has changed, which the nightly run refuses, and rejected rows are scored again."""
    write_day(place, 2, CHANGED)
    refused = place.run("rayton score job.toml --refresh", cluster, status=1)
    assert (
        "1 objects of s3://corpus/texts have changed since they were planned: day=2026-11-02/texts.parquet" in refused
    )
    printed = place.run("rayton score job.toml --rescore-changed", cluster)
    assert "refresh 0 new, 1 changed, 0 vanished objects" in printed
    assert rows_of(place) == ROWS - BAD + CHANGED

    printed = place.run("rayton score job.toml --retry-rejected", cluster)
    assert f"retry   {BAD} rejected rows of 1 chunks are scored again" in printed
    assert f"{ROWS + CHANGED} rows = {ROWS + CHANGED - BAD} scored + {BAD} rejected" in printed


def traced(place: Place, cluster: dict[str, str]) -> None:
    """A collector hears of the chunk of a part that is missing."""
    lose_a_part(place)
    with collecting() as (collector, endpoint):
        place.stands_for["http://localhost:4317"] = endpoint
        place.run("rayton score job.toml --otlp-endpoint http://localhost:4317", cluster)
    assert {about["rayton.job"] for about in collector.about} == {OUTPUT}
    assert {"chunk", "read", "prepare", "score", "write", "infer"} <= {span.name for span in collector.spans}


def output(place: Place) -> Storage:
    return open_storage(OUTPUT, place.store)


def rows_of(place: Place) -> int:
    """Different rows in the data parts."""
    data = open_storage(f"{OUTPUT}/data", place.store)
    table = pq.read_table(data.root, filesystem=data.filesystem, partitioning=None)
    assert set(table.column_names) == {"id", "day", "embedding"}
    return len(set(table["id"].to_pylist()))


def smallest_part(place: Place) -> str:
    return "data/" + min(output(place).at("data").objects(), key=lambda one: one.size).path


def lose_a_part(place: Place) -> None:
    """Takes away what the operations page says of a part that was damaged."""
    output(place).delete(smallest_part(place), SUCCESS_FILE)


def limits_by_metrics(place: Place) -> list[float]:
    """How many batches may be in flight, by what the node tells that scores, also still of runs that have ended."""
    return [one.value for one in samples(place.scoring_metrics) if one.name == metrics.LIMIT_BATCHES.exported]


def tells_metrics(port: str) -> bool:
    """Whether a node of Ray tells its metrics at a port."""
    return any(one.name == "ray_node_cpu_count" for one in samples(port))


def samples(port: str) -> Sequence[Sample]:
    """What Prometheus finds at a port."""
    with suppress(ServerError):
        return read_metrics(f"http://127.0.0.1:{port}/metrics").samples
    return ()


def heard(place: Place) -> list[LimitSeen]:
    """The limits that the job has heard of, in all of its runs."""
    pages = [page for _, page in read_record(output(place))]
    return [limit for page in pages for one in page.committed for limit in one.course.batches.limits]
