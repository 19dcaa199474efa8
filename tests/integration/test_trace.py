"""A job tells a collector of its chunks by OpenTelemetry's own protocol; one that is away keeps no job from ending."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.support.collector import collecting
from tests.support.jobs import score, totals
from tests.support.sums import check_sums, write_sums_job
from triton_models.server.ports import steady_port

ROWS, ROWS_PER_CHUNK = 300, 100
STAGES = ("read", "prepare", "score", "write")


@pytest.fixture
def job(tmp_path: Path, affine_triton: dict[str, object]) -> Path:
    return write_sums_job(tmp_path, ROWS, affine_triton, rows_per_chunk=ROWS_PER_CHUNK)


def test_a_chunk_is_a_trace(job: Path, home: Path, tmp_path: Path) -> None:
    with collecting() as (collector, endpoint):
        score(job, home, "--otlp-endpoint", endpoint)
    assert {(one["service.name"], one["rayton.job"]) for one in collector.about} == {("rayton", str(tmp_path / "out"))}
    traces = defaultdict(list)
    for span in collector.spans:
        traces[span.trace_id].append(span)
    assert len(traces) == ROWS / ROWS_PER_CHUNK
    for spans in traces.values():
        check(spans)


def check(spans: list[Any]) -> None:
    """The spans of one chunk: its stages one after the other, and batches within the one that scores."""
    (chunk,) = [span for span in spans if not span.parent_span_id]
    assert chunk.name == "chunk"
    stages = {span.name: span for span in spans if span.parent_span_id == chunk.span_id}
    assert tuple(stages) == STAGES
    ends = [(stages[name].start_time_unix_nano, stages[name].end_time_unix_nano) for name in STAGES]
    assert [moment for pair in ends for moment in pair] == sorted(moment for pair in ends for moment in pair)
    assert (chunk.start_time_unix_nano, chunk.end_time_unix_nano) == (ends[0][0], ends[-1][1])
    batches = [span for span in spans if span.parent_span_id == stages["score"].span_id]
    assert {span.name for span in batches} == {"permit", "infer"}
    infers = [span for span in batches if span.name == "infer"]
    assert sum(attribute.value.int_value for span in infers for attribute in span.attributes) == ROWS_PER_CHUNK
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in spans)


def test_a_collector_that_is_away_is_not_waited_for(job: Path, home: Path, tmp_path: Path) -> None:
    score(job, home, "--otlp-endpoint", f"http://127.0.0.1:{steady_port()}")
    check_sums(tmp_path / "out", range(ROWS))
    assert totals(str(tmp_path / "out"))["parts"] == ROWS / ROWS_PER_CHUNK
