"""What Prometheus finds at the endpoints of Ray and of Triton while a job runs: all of the dashboard, as it was."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exporter.export import export
from exporter.spec import ExportSpec
from ray_pipeline.output.success import read_manifest
from ray_pipeline.telemetry import metrics, triton
from ray_pipeline.telemetry.course import Course
from ray_pipeline.telemetry.metrics import METRICS, Metric
from ray_pipeline.telemetry.record import read_record
from tests.support.jobs import start_score, totals, write_job
from tests.support.load import steady_load
from tests.support.ray_nodes import RayNodes, ray_nodes
from tests.support.served_models import slow
from tests.support.triton import start
from triton_models.errors import ServerError
from triton_models.server.metrics import Metrics, Sample, read_metrics
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime
from triton_models.storage import open_storage

ROWS, ROWS_PER_CHUNK, BAD = 1200, 60, 37
USERS_PER_S = 10
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    onnx.save(slow(rounds=3000, width=1), folder / "slow.onnx")
    export(ExportSpec(str(folder / "slow.onnx"), "slow", str(folder / "models")), open_storage(str(folder / "models")))
    return folder / "models"


@pytest.fixture(scope="module")
def server(runtime: Runtime, models: Path) -> Iterator[NodeServer]:
    with start(runtime, models) as server:
        yield server


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayNodes]:
    with ray_nodes(1, head_cpus=2, cpus=0) as cluster:
        yield cluster


def write_rows(path: Path) -> None:
    """Single numbers, some of which are missing."""
    x = [None if row < BAD else [float(row)] for row in range(ROWS)]
    pq.write_table(pa.table({"id": range(ROWS), "x": pa.array(x, pa.list_(pa.float32()))}), path)


def scraped(cluster: RayNodes) -> list[Sample]:
    """All that the nodes offer now."""
    found: list[Sample] = []
    for url in cluster.metrics_urls:
        with suppress(ServerError):  # a node that has just begun
            found += read_metrics(url).samples
    return found


def count(metric: Metric) -> str:
    """The series that counts: of a histogram, its values."""
    return f"{metric.exported}_count" if metric.kind == "histogram" else metric.exported


def test_every_metric_of_the_dashboard_is_there_and_as_the_summary_says(
    home: Path, tmp_path: Path, models: Path, server: NodeServer, cluster: RayNodes
) -> None:
    output = tmp_path / "out"
    write_rows(tmp_path / "rows.parquet")
    job = write_job(
        tmp_path / "job.toml",
        input=tmp_path / "rows.parquet",
        output=output,
        model='name = "slow"\ninputs = { x = "x" }\noutputs = { y = "y" }',
        triton={"url": server.grpc_url, "repository": models},
        rows_per_chunk=ROWS_PER_CHUNK,
        sharing={"lane": "shared", "max_slowdown": 3.0},
    )
    before, poll = read_metrics(server.metrics_url), threading.Event()
    names: set[str] = set()
    with (
        steady_load(server.grpc_url, "slow", USERS_PER_S) as load,
        start_score(job, home, "--ray-address", cluster.address) as process,
    ):
        while process.poll() is None:
            names |= {sample.name for sample in scraped(cluster) if sample.labels.get("job") == str(output)}
            poll.wait(0.5)
        _, errors = process.communicate()
    assert process.returncode == 0, errors

    assert {count(metric) for metric in METRICS} <= names
    courses = [one.course for _, page in read_record(open_storage(str(output))) for one in page.committed]
    wanted, heard = summary(output, courses), heard_by(courses)
    assert settled(cluster, str(output), wanted) == wanted
    # After its last chunk an actor still listens for a moment.
    offers = offered(Metrics(tuple(scraped(cluster))), str(output), heard)
    assert all(offers[series] >= told > 0 for series, told in heard.items())
    after = read_metrics(server.metrics_url)
    assert set(triton.TRITON_METRICS) <= {sample.name for sample in after.samples}
    batches, canaries = wanted[count(metrics.BATCHES)], heard[count(metrics.ONLINE_SECONDS)]
    asked = len(load.asked) + 1
    assert grown(before, after, triton.REQUESTS) >= batches + canaries + asked
    assert grown(before, after, triton.ROWS) >= ROWS - BAD + canaries + asked
    assert grown(before, after, triton.FAILURES) == 0


def summary(output: Path, courses: list[Course]) -> dict[str, float]:
    """What the job's own files say, by the names of the series."""
    rows = totals(str(output))
    assert (rows["rows"], rows["rejected"]) == (ROWS, BAD)
    batches = [course.batches for course in courses]
    return {
        f"{metrics.COMMITTED_ROWS.exported} scored": rows["scored"],
        f"{metrics.COMMITTED_ROWS.exported} rejected": rows["rejected"],
        count(metrics.REJECTED_ROWS): rows["rejected"],
        count(metrics.COMMITTED_PARTS): rows["parts"],
        count(metrics.PART_BYTES): sum(part.bytes for part in read_manifest(open_storage(str(output))).values()),
        count(metrics.STAGE_SECONDS): round(sum(sum(course.seconds().values()) for course in courses), 3),
        count(metrics.BATCHES): sum(one.count for one in batches),
        count(metrics.BATCH_ROWS): sum(one.count for one in batches),
        count(metrics.BATCH_SECONDS): sum(sum(one.seconds) for one in batches),
        count(metrics.BATCH_BYTES): sum(one.bytes for one in batches),
        count(metrics.IN_FLIGHT): 0,
    }


def heard_by(courses: list[Course]) -> dict[str, float]:
    """What the record tells of the limiter, by the names of the series."""
    return {
        count(metrics.LIMIT_CHANGES): sum(len(one.batches.limits) for one in courses),
        count(metrics.ONLINE_SECONDS): sum(len(one.batches.canaries) for one in courses),
    }


def settled(cluster: RayNodes, job: str, wanted: dict[str, float]) -> dict[str, float]:
    """The same by the nodes' endpoints, as soon as it is as wanted, or after a while."""
    until_s, poll = time.monotonic() + PATIENCE_S, threading.Event()
    while (found := offered(Metrics(tuple(scraped(cluster))), job, wanted)) != wanted and time.monotonic() < until_s:
        poll.wait(0.5)
    return found


def offered(found: Metrics, job: str, wanted: dict[str, float]) -> dict[str, float]:
    """The sums of these series, with an outcome if there is one behind the name; seconds to the millisecond."""
    values = {}
    for series in wanted:
        name, _, outcome = series.partition(" ")
        labels = {"job": job, "outcome": outcome} if outcome else {"job": job}
        values[series] = round(found.total(name, **labels), 3)
    return values


def grown(before: Metrics, after: Metrics, name: str) -> float:
    """By how much a number of Triton has grown for the model."""
    return after.total(name, model="slow") - before.total(name, model="slow")
