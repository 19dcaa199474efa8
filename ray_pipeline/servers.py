"""The servers of a job: one that already runs on each node, or one that is started on each node for the job's life."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from ray_pipeline.errors import FatalError, JobFileError
from ray_pipeline.placement import FindServer, on_node
from ray_pipeline.served import repository_behind, served_versions
from ray_pipeline.spec import JobSpec, TritonSpec
from ray_pipeline.transport.base import WantedTransport
from ray_pipeline.transport.choose import Choice, choose
from triton_models.repository.checkout import check_out
from triton_models.repository.versions import newest
from triton_models.server.options import ServerOptions
from triton_models.server.process import NodeServer
from triton_models.server.runtime import ensure_runtime
from triton_models.storage import Storage, open_storage

_NAMESPACE = "rayton"


@dataclass(frozen=True)
class SameAddress:
    """Every node's server has the same address, seen from the node itself, such as `localhost:8001`."""

    url: str

    def __call__(self) -> str:
        """The address of this node's server."""
        return self.url


@dataclass(frozen=True)
class StartedForJob:
    """Each node's server was started for the job that has this `token`."""

    token: str

    def __call__(self) -> str:
        """The address of this node's server. Raises FatalError if it is not there."""
        node = ray.get_runtime_context().get_node_id()
        try:
            keeper: Any = ray.get_actor(_actor_name(self.token, node), _NAMESPACE)
        except ValueError as error:
            raise FatalError(f"no server was started on node {node} for this job") from error
        return str(ray.get(keeper.address.remote()))


def repository_of(spec: JobSpec, home: Path) -> Storage:
    """Where the cards of the job's models are: `[triton] repository`, or what this node's `rayton serve` loads.

    Raises JobFileError where neither tells.
    """
    triton = spec.triton
    if triton.repository is not None:
        return open_storage(triton.repository, spec.storage.endpoint_url, spec.storage.timeout_s)
    assert triton.url is not None
    found = repository_behind(triton.url, home)
    if found is None:
        raise JobFileError(
            f"triton.url {triton.url}: no `rayton serve` on this machine tells which repository that server loads; add "
            "`repository = ...` under [triton], the folder or bucket with the models' cards"
        )
    return open_storage(found, spec.storage.endpoint_url, spec.storage.timeout_s)


def resolve_versions(spec: JobSpec, fixed: Sequence[int | None], repository: Storage, node: str) -> list[int]:
    """The version of each model: the one in `fixed` if there is one, or else the newest that is served.

    With a running server that is what the server of `node` has ready; otherwise what the repository holds.
    Raises FatalError or RepositoryError.
    """
    wanted = [(model.name, version) for model, version in zip(spec.models, fixed, strict=True)]
    if spec.triton.url is None:
        return [version or newest(repository, name) for name, version in wanted]
    ask = ray.remote(served_versions).options(num_cpus=0, scheduling_strategy=on_node(node))
    versions: list[int] = ray.get(ask.remote(spec.triton.url, wanted, spec.triton.timeout_s))
    return versions


def ways_to(find_server: FindServer, triton: TritonSpec, nodes: Sequence[str]) -> list[Choice]:
    """How each node's actor will reach its server. Raises FatalError if it cannot as the job file wants it."""
    ask: Any = ray.remote(_way_to)
    there = [ask.options(num_cpus=0, scheduling_strategy=on_node(node)) for node in nodes]
    ways: list[Choice] = ray.get([one.remote(find_server, triton.transport, triton.timeout_s) for one in there])
    return ways


def _way_to(find_server: FindServer, wanted: WantedTransport, timeout_s: float) -> Choice:
    return choose(find_server(), wanted, timeout_s)


@contextmanager
def started_servers(
    repository: Storage, versions: Mapping[str, int], home: Path, nodes: Sequence[str]
) -> Iterator[StartedForJob]:
    """An embedded server with these versions on each node; gone afterwards, and also when this process dies.

    Raises ServerError.
    """
    token = uuid.uuid4().hex[:12]
    keepers: list[Any] = [
        ray.remote(_ServerKeeper)
        .options(
            name=_actor_name(token, node),
            namespace=_NAMESPACE,
            num_cpus=0,
            max_concurrency=1,
            scheduling_strategy=on_node(node),
        )
        .remote()
        for node in nodes
    ]
    try:
        ray.get([keeper.start.remote(repository, dict(versions), str(home)) for keeper in keepers])
        yield StartedForJob(token)
    finally:
        ray.get([keeper.stop.remote() for keeper in keepers])
        for keeper in keepers:
            ray.kill(keeper)


class _ServerKeeper:
    """The Ray actor that owns the server of its node."""

    def __init__(self) -> None:
        self._server: NodeServer | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="rayton-server-"))

    def start(self, repository: Storage, versions: dict[str, int], home: str) -> None:
        runtime = ensure_runtime(Path(home), lambda _: None)
        models = self._folder / "models"
        models.mkdir()
        check_out(repository, versions, models)
        log_file = Path(home) / "logs" / f"tritonserver-{os.getpid()}.log"  # it stays: errors name it
        options = ServerOptions(repository=models, log_file=log_file, models=tuple(versions))
        self._server = NodeServer.start(runtime, options)

    def address(self) -> str:
        if self._server is None:
            raise FatalError("the server of this node was not started")
        return self._server.grpc_url

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def _actor_name(token: str, node: str) -> str:
    return f"server-{token}-{node}"
