"""Jobs on several nodes, whose servers and nodes are killed. The nodes that score have no processors for anything else:
what these jobs read and prepare, a node without a Triton has. There all may be read before the first part is written;
so the model takes its time, and whoever has seen that part finds most of the job still ahead.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.command import start_rayton
from tests.support.jobs import await_part, totals
from tests.support.ray_nodes import RayNodes, kill_node, processes, ray_nodes
from tests.support.sums import check_sums, publish_affine, write_sums_job
from triton_models.server.metrics import read_metrics

ROWS, CHUNKS = 2000, 40
ROUNDS = 25_000
"""Of the model: a chunk takes a server a tenth of a second."""
TIMEOUT_S = 3
PATIENCE_S = 150


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayNodes]:
    with ray_nodes(2, head_cpus=2, cpus=0) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def slow_sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository of the model."""
    return publish_affine(tmp_path_factory.mktemp("slow"), ROUNDS)


class Job:
    """A job with managed servers that is under way: its first part is there."""

    def __init__(self, process: subprocess.Popen[str], output: Path, cluster: RayNodes) -> None:
        self.process, self.output = process, output
        self.servers = triton_servers(cluster.workers())

    def ended(self) -> tuple[str, str]:
        """What it has printed, and its errors."""
        return self.process.communicate(timeout=PATIENCE_S)

    def check_whole(self) -> None:
        """Every row is there once, with its right answer."""
        assert self.process.returncode == 0
        check_sums(self.output, range(ROWS))
        assert totals(str(self.output)) == {"rows": ROWS, "scored": ROWS, "rejected": 0, "parts": CHUNKS}


@contextmanager
def under_way(home: Path, models: Path, folder: Path, cluster: RayNodes, timeout_s: float = TIMEOUT_S) -> Iterator[Job]:
    triton: dict[str, object] = {"repository": models}
    job = write_sums_job(folder, ROWS, triton, rows_per_chunk=ROWS // CHUNKS, timeout_s=timeout_s)
    with start_rayton(home, "score", str(job), "--ray-address", cluster.address) as process:
        try:
            await_part(process, folder / "out")
            yield Job(process, folder / "out", cluster)
        finally:
            process.kill()


def triton_servers(pids: set[int]) -> dict[int, Path]:
    """Those of some processes that are servers, and the folder from which each serves."""
    return {pid: (proc(pid) / "cwd").readlink() for pid in pids if (proc(pid) / "comm").read_text() == "tritonserver\n"}


def proc(pid: int) -> Path:
    """What the system tells about a process."""
    return Path(f"/proc/{pid}")


def busiest(servers: Iterable[int]) -> int:
    """The server that has answered for the most rows.

    Where a job has its first part, that one's actor has more chunks; another's may not have been made yet.
    """
    return max(servers, key=answered)


def answered(server: int) -> float:
    """For how many rows a server has answered."""
    (port,) = re.findall(rb"--metrics-port=(\d+)", (proc(server) / "cmdline").read_bytes())
    return read_metrics(f"http://127.0.0.1:{int(port)}/metrics").total("nv_inference_count", model="affine")


def kill_for_good(server: int, served_from: Path) -> None:
    """Kills a server that cannot be started again: its models are gone."""
    shutil.rmtree(served_from)
    os.kill(server, signal.SIGKILL)


def test_a_managed_server_that_is_killed_is_started_again(
    home: Path, slow_sums: Path, tmp_path: Path, cluster: RayNodes
) -> None:
    with under_way(home, slow_sums, tmp_path, cluster) as job:
        assert len(job.servers) == 2
        os.kill(next(iter(job.servers)), signal.SIGKILL)
        printed, _ = job.ended()
    job.check_whole()
    assert "affine version 1, on 2 nodes" in printed
    assert re.search(r"nodes   node 127\.0\.0\.1 \(\w{8}\): server 127\.0\.0\.1:\d+ has died 1 time and was", printed)


def test_the_chunks_of_a_node_whose_server_stays_dead_are_scored_by_others(
    home: Path, slow_sums: Path, tmp_path: Path, cluster: RayNodes
) -> None:
    with under_way(home, slow_sums, tmp_path, cluster) as job:
        server = busiest(job.servers)
        kill_for_good(server, job.servers[server])
        printed, _ = job.ended()
    job.check_whole()
    assert re.search(
        r"nodes   node 127\.0\.0\.1 \(\w{8}\): its chunks go to other nodes until its server is there: "
        rf"server 127\.0\.0\.1:\d+: .*; tried \d+ times over {TIMEOUT_S} s",
        printed,
    )


def test_a_job_none_of_whose_nodes_has_a_server_any_more_ends_in_words(
    home: Path, slow_sums: Path, tmp_path: Path, cluster: RayNodes
) -> None:
    long_enough_to_be_given_up_s = 12
    with under_way(home, slow_sums, tmp_path, cluster, long_enough_to_be_given_up_s) as job:
        for server, served_from in job.servers.items():
            kill_for_good(server, served_from)
        _, errors = job.ended()
    assert job.process.returncode == 1
    assert "Traceback" not in errors
    assert "error: no node of the job has a healthy server any more:" in errors
    logs = re.findall(r"\(\w{8}\): server 127\.0\.0\.1:\d+ has died 6 times and is given up; its log is (\S+)", errors)
    assert len(logs) == 2
    assert all(Path(log).is_file() for log in logs)
    assert not (tmp_path / "out" / "_SUCCESS").exists()


def test_the_chunks_of_a_node_that_is_killed_are_scored_by_others(
    home: Path, slow_sums: Path, tmp_path: Path, cluster: RayNodes
) -> None:
    cluster.add()
    with under_way(home, slow_sums, tmp_path, cluster) as job:
        assert len(job.servers) == 3
        server = busiest(job.servers)
        kill_node(next(node for node in cluster.scoring if server in processes(node)))
        printed, _ = job.ended()
    job.check_whole()
    assert "it has left the cluster; its chunks go to other nodes" in printed
