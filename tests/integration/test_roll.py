"""Nodes whose servers are away when a job begins, and come later."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import ray
from rich.console import Console

from ray_pipeline import job
from ray_pipeline.errors import ServerAwayError
from ray_pipeline.placement import connected, this_node
from ray_pipeline.report import Report
from ray_pipeline.roll import called_roll
from ray_pipeline.spec import load_job
from tests.support.ray_nodes import RayNodes, ray_nodes
from tests.support.sums import check_sums, publish_affine, write_sums_job
from triton_models.server.options import ServerOptions
from triton_models.server.ports import steady_port
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime

ROWS, CHUNKS = 600, 12


@dataclass(frozen=True)
class Addresses:
    """Where the server of each node shall be."""

    of: dict[str, str]

    def __call__(self) -> str:
        return self.of[this_node()]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayNodes]:
    with ray_nodes(2, head_cpus=2, cpus=0) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> ServerOptions:
    repository = publish_affine(tmp_path_factory.mktemp("models"))
    return ServerOptions(repository, repository.with_name("triton.log"), grpc_port=steady_port())


@pytest.mark.filterwarnings("ignore:.* is deprecated:DeprecationWarning")  # what Ray Data says of its own settings
def test_a_node_whose_server_is_away_at_the_start_gets_no_work(
    runtime: Runtime,
    home: Path,
    tmp_path: Path,
    cluster: RayNodes,
    options: ServerOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    triton: dict[str, object] = {"repository": options.repository}
    spec = load_job(write_sums_job(tmp_path, ROWS, triton, rows_per_chunk=ROWS // CHUNKS, timeout_s=1))
    served, unserved = (node.node_id for node in cluster.scoring)
    nowhere = f"127.0.0.1:{steady_port()}"
    printed = StringIO()
    with NodeServer.start(runtime, options) as server:
        addresses = Addresses({served: server.grpc_url, unserved: nowhere})

        def servers_of_the_test(*_: Any) -> AbstractContextManager[Addresses]:
            return nullcontext(addresses)

        monkeypatch.setattr(job, "servers_for", servers_of_the_test)
        job.run_job(spec, home, cluster.address, Report(Console(file=printed, width=200), spec.output.uri))
    check_sums(tmp_path / "out", range(ROWS))
    assert f"({unserved[:8]}): its chunks go to other nodes until its server is there: server {nowhere}" in (
        printed.getvalue()
    )
    assert f"({served[:8]})" not in printed.getvalue()


def test_a_node_gets_work_again_when_its_server_is_there(
    runtime: Runtime, cluster: RayNodes, options: ServerOptions
) -> None:
    address = f"127.0.0.1:{options.grpc_port}"
    away, other = (node.node_id for node in cluster.scoring)
    with connected(cluster.address) as nodes, called_roll(nodes) as roll:
        roll.begin(Addresses({away: address, other: address}), {away: ServerAwayError("not there")})
        assert places() == {other}
        with NodeServer.start(runtime, options):
            news: list[str] = []
            poll = threading.Event()
            while len(news) < 2:
                list(roll.told(iter(()), news.append))
                poll.wait(0.1)
            while len(places()) < 2:
                poll.wait(0.1)
        assert news[1].endswith(f"({away[:8]}): its server is there again")


def places() -> set[str]:
    """The nodes where an actor that scores finds room."""
    free = ray._private.state.available_resources_per_node()  # type: ignore[no-untyped-call]
    return {node for node, resources in free.items() if resources.get("triton", 0) >= 1}
