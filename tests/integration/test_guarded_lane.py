"""A lane of its own where TLS and a control key guard the server of online users, and the lane as it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_pipeline.transport.choose import choose
from tests.support.command import run_rayton
from tests.support.counts import settled_total
from tests.support.guarded import Place, guarded, guarded_lane, in_job_file, shown, url_of
from tests.support.jobs import failing_score, score, scored_rows, totals, write_job
from tests.support.leftovers import command, descendants
from tests.support.numbered import NAME, number_of, publish_number
from tests.support.serving import Serving, serving
from triton_models.server.control_key import read_control_key
from triton_models.server.credentials import Credentials
from triton_models.server.runtime import Runtime

PATIENCE_S = 60.0
ROWS = 40
MODEL = f'name = "{NAME}"\ninputs  = {{ x = "x" }}\noutputs = {{ y = "y" }}'


@pytest.fixture(scope="module")
def place(runtime: Runtime, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The server of online users."""
    with guarded(home, tmp_path_factory.mktemp("guarded")) as found:
        yield found


@pytest.fixture(scope="module")
def lane(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A bulk lane beside it."""
    with guarded_lane(place, tmp_path_factory.mktemp("lane") / "copy") as found:
        yield found


def job(place: Place, folder: Path, credentials: Credentials, **sharing: object) -> Path:
    rows = pa.table({"id": np.arange(ROWS), "x": [[float(row)] for row in range(ROWS)]})
    pq.write_table(rows, folder / "rows.parquet")
    return write_job(
        folder / "job.toml",
        input=folder / "rows.parquet",
        output=folder / "out",
        triton={"url": place.url, "repository": place.repository.uri, **in_job_file(credentials)},
        model=MODEL,
        rows_per_chunk=10,
        timeout_s=PATIENCE_S,
        sharing={"lane": "own", **sharing},
    )


def check_answers(output: Path, number: int = 10) -> None:
    """Every row is there once, with the answer of that version."""
    scored = scored_rows(str(output))
    assert scored["id"].to_pylist() == list(range(ROWS))
    assert scored["y"].to_pylist() == [[row + float(number)] for row in range(ROWS)]
    assert totals(str(output))["scored"] == ROWS


def test_the_lane_is_guarded_as_the_server_of_the_users_and_steps_back(place: Place, lane: Serving) -> None:
    assert lane.report["beside"].startswith(f"{place.url}: its threads that share a processor move")
    assert lane.report["lane"] == "for bulk: it takes only processor time that nobody else wants"
    assert lane.report["TLS"] == place.served.report["TLS"]
    assert lane.report["control"] == place.served.report["control"]
    key = read_control_key(place.home / "servers" / "control.key")
    family = descendants(lane.process.pid)
    (server,) = [pid for pid in family if command(pid).split(" ")[0].endswith("bin/tritonserver")]
    assert os.sched_getscheduler(server) == os.SCHED_IDLE
    assert [said for said in (*map(command, family), Path(lane.report["log"]).read_text()) if key in said] == []


def test_health_and_doctor_are_let_in_to_the_lane(place: Place, lane: Serving) -> None:
    for words in (("health", url_of(lane)), ("doctor", url_of(lane), "--requests", "20")):
        asked = run_rayton(place.home, *words, *shown(place.good))
        assert asked.returncode == 0, asked.stderr
        refused = run_rayton(place.home, *words)
        assert refused.returncode == 1
        assert f"the server {url_of(lane)} wants TLS" in refused.stderr


def test_a_job_scores_in_the_lane_that_is_there_and_shows_the_key_for_its_memory(
    place: Place, lane: Serving, tmp_path: Path
) -> None:
    before = answered(place.served), answered(lane)
    printed = score(job(place, tmp_path, place.good, bulk_url=url_of(lane)), place.home)
    assert "lane    own: as the job file says\n" in printed
    assert f"{url_of(lane)} on each node takes what nobody else wants; {place.url} is left to its online users" in (
        printed
    )
    assert f"threads of {place.url} that share a processor move to one where the job runs\n" in printed
    assert "send    through shared memory: " in printed
    check_answers(tmp_path / "out")
    assert answered(lane) == before[1] + ROWS
    assert answered(place.served) == before[0]
    notes = [path.read_text() for path in (tmp_path / "out").iterdir() if path.suffix == ".json"]
    assert notes
    secrets = (read_control_key(place.home / "servers" / "control.key"), str(place.good.key), str(place.good.ca))
    assert [one for one in secrets for text in (printed, *notes) if one in text] == []


def test_without_the_key_its_batches_go_through_grpc_and_the_job_says_why(
    place: Place, lane: Serving, tmp_path: Path
) -> None:
    before = answered(place.served), answered(lane)
    printed = score(job(place, tmp_path, place.keyless, bulk_url=url_of(lane)), place.home)
    assert re.search(r"send    through gRPC: .*does this only for those who have its key", printed)
    check_answers(tmp_path / "out")
    assert answered(lane) == before[1] + ROWS
    assert answered(place.served) == before[0]


def test_a_lane_that_the_job_starts_needs_nothing_of_what_the_users_server_gets_to_see(
    place: Place, tmp_path: Path
) -> None:
    before = answered(place.served)
    printed = score(job(place, tmp_path, place.good), place.home)
    assert f"a second server on each node takes what nobody else wants; {place.url} is left" in printed
    assert "send    through shared memory: " in printed
    check_answers(tmp_path / "out")
    assert answered(place.served) == before


def test_a_lane_without_tls_beside_users_with_it_is_refused_at_once(place: Place, tmp_path: Path) -> None:
    with serving(place.home, place.repository.uri, "--bulk-lane", "--cache", str(tmp_path / "copy")) as plain:
        file = job(place, tmp_path, place.good, bulk_url=plain.report["gRPC"])
        began_s = time.monotonic()
        said = failing_score(file, place.home)
        assert time.monotonic() - began_s < PATIENCE_S
    assert f"error: the server {plain.report['gRPC']} answers without TLS" in said


def test_a_lane_with_another_key_shares_no_memory_with_the_job(place: Place, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    other.touch(0o600)
    other.write_text("made-up-key-of-another-lane")
    with guarded_lane(place, tmp_path / "copy", "--control-key-file", str(other)) as lane:
        choice = choose(url_of(lane), "auto", PATIENCE_S, place.good)
        assert choice.transport == "grpc"
        assert "does this only for those who have its key" in choice.why


def test_the_lane_loads_what_is_published_and_what_its_operator_says(place: Place, lane: Serving) -> None:
    version = publish_number(place.repository, 20).version
    lane.await_line(f"{NAME} version {version} is served now in place of")
    assert number_of(url_of(lane), credentials=place.keyless) == 20
    back = ("models", "rollback", NAME, "--repository", place.repository.uri, "--to", "1", "--load", url_of(lane))
    keyless = run_rayton(place.home, *back, *shown(place.keyless))
    assert keyless.returncode == 1
    assert "loads models only for clients with its key" in keyless.stderr
    done = run_rayton(place.home, *back, *shown(place.good))
    assert done.returncode == 0, done.stderr
    assert number_of(url_of(lane), credentials=place.keyless) == 10


def answered(served: Serving) -> float:
    """The rows that a server has answered; its metrics know no TLS."""
    return settled_total(served.report["metrics"])
