"""A job with a lane of its own beside the server of online users: that one is left alone, and the lane steps back."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.counts import settled_total
from tests.support.jobs import await_part, scored_rows, start_score, totals, write_job
from tests.support.leftovers import command, descendants
from tests.support.serving import serving
from triton_models.server import balancing
from triton_models.server.keeper import AUTOGROUP
from triton_models.server.proc import runs
from triton_models.server.process import NodeServer

STUB = "triton_python_backend_stub"
NOTHING_COMES_S = 8.0


def inferences(server: NodeServer) -> float:
    return settled_total(server.metrics_url)


def threads(pid: int) -> list[int]:
    return [int(thread.name) for thread in Path(f"/proc/{pid}/task").iterdir()]


def autogroup(pid: int) -> str:
    return Path(f"/proc/{pid}/autogroup").read_text().split()[-1]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def job_beside(
    texts: Path, output: Path, tmp_path: Path, minilm_server: NodeServer, minilm_repository: Path
) -> Callable[[dict[str, object]], Path]:
    """Writes a job of 400 rows beside the users of a server, with a section [sharing]."""
    few = tmp_path / "few.parquet"
    pq.write_table(pq.read_table(texts).slice(0, 400), few)
    triton = {"url": minilm_server.grpc_url, "repository": minilm_repository}
    job = partial(write_job, tmp_path / "job.toml", input=few, output=output, triton=triton)
    return lambda sharing: job(sharing=sharing)


def test_the_lane_steps_back_and_the_online_server_is_not_asked_for_a_row(
    home: Path, output: Path, minilm_server: NodeServer, job_beside: Callable[[dict[str, object]], Path]
) -> None:
    job = job_beside({"lane": "own"})
    before = inferences(minilm_server)
    with start_score(job, home) as process:
        await_part(process, output)
        family = descendants(process.pid)
        servers = [pid for pid in family if command(pid).split(" ")[0].endswith(("tritonserver", STUB))]
        policies = {os.sched_getscheduler(thread) for pid in servers for thread in threads(pid)}
        looking = [os.sched_getscheduler(pid) for pid in family if runs(pid, balancing.__file__)]
        sessions = {os.getsid(pid) for pid in [process.pid, *servers]}
        groups = {autogroup(pid) for pid in [process.pid, *servers]} if AUTOGROUP.exists() else {"19"}
        printed, errors = process.communicate(timeout=300)

    assert process.returncode == 0, errors
    assert "lane    own: as the job file says\n" in printed
    assert f"what nobody else wants; {minilm_server.grpc_url} is left to its online users\n" in printed
    assert (
        f"        threads of {minilm_server.grpc_url} that share a processor move to one where the job runs\n"
        in printed
    )
    assert looking == [os.SCHED_OTHER]  # who looks for such threads does not step back
    assert len(servers) == 2  # the server, and the process of its model
    assert policies == {os.SCHED_IDLE}
    assert len(sessions) == 1
    assert groups == {"19"}
    assert totals(str(output))["scored"] == scored_rows(str(output)).num_rows == 400
    assert inferences(minilm_server) == before


def test_auto_takes_the_own_lane_where_there_is_memory_for_it_and_is_paused_by_a_file(
    home: Path, output: Path, tmp_path: Path, job_beside: Callable[[dict[str, object]], Path]
) -> None:
    pause_file = tmp_path / "maintenance"
    job = job_beside({"pause_file": str(pause_file)})
    pause_file.touch()
    with start_score(job, home) as process:
        told = [line.rstrip("\n") for line in until(process, "send ")]
        time.sleep(NOTHING_COMES_S)
        assert not any(output.glob("data/part-*.parquet"))
        pause_file.unlink()
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    own = re.compile(r"lane    own: the node has the \d\.\d GB of memory that a second server needs")
    assert any(map(own.fullmatch, told))
    assert totals(str(output))["scored"] == 400


def test_a_job_scores_in_the_bulk_lane_that_is_there(
    home: Path,
    output: Path,
    minilm_server: NodeServer,
    minilm_repository: Path,
    job_beside: Callable[[dict[str, object]], Path],
) -> None:
    before = inferences(minilm_server)
    with serving(home, minilm_repository, "--bulk-lane", "--beside", minilm_server.grpc_url) as lane:
        family = descendants(lane.process.pid)
        servers = [pid for pid in family if command(pid).split(" ")[0].endswith(("tritonserver", STUB))]
        assert {os.sched_getscheduler(thread) for pid in servers for thread in threads(pid)} == {os.SCHED_IDLE}
        assert lane.report["lane"] == "for bulk: it takes only processor time that nobody else wants"
        assert lane.report["beside"].startswith(f"{minilm_server.grpc_url}: its threads that share a processor move")
        job = job_beside({"bulk_url": lane.report["gRPC"]})
        with start_score(job, home) as process:
            printed, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        assert settled_total(lane.report["metrics"]) >= 400
    assert "lane    own: bulk_url under [sharing] names a server for bulk\n" in printed
    assert totals(str(output))["scored"] == 400
    assert inferences(minilm_server) == before


def until(process: subprocess.Popen[str], beginning: str) -> Iterator[str]:
    """What a job prints, up to a line that begins so."""
    assert process.stdout is not None
    for line in process.stdout:
        yield line
        if line.startswith(beginning):
            return
    raise AssertionError(f"the job has printed no {beginning!r}")
