"""The servers of a job: where each node's is, what it serves, and which way to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from ray_pipeline.crew import Crew
from ray_pipeline.errors import JobFileError, ServerAwayError
from ray_pipeline.managed import managed_servers
from ray_pipeline.placement import FindServer, alive_nodes, on_node
from ray_pipeline.roll import Roll
from ray_pipeline.room import free_bytes
from ray_pipeline.sections import TritonSpec
from ray_pipeline.served import repository_behind, security_cautions_of, served_versions, sharing_cautions_of
from ray_pipeline.sharing.lane import Manners
from ray_pipeline.spec import JobSpec
from ray_pipeline.transport.base import WantedTransport
from ray_pipeline.transport.choose import Choice, choose
from triton_models.repository.versions import newest
from triton_models.server.credentials import Credentials
from triton_models.storage import Storage, open_storage

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class SameAddress:
    """Every node's server has the same address, seen from the node itself, such as `localhost:8001`."""

    url: str

    def __call__(self) -> str:
        """The address of this node's server."""
        return self.url


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


def resolve_versions(
    spec: JobSpec, fixed: Sequence[int | None], repository: Storage, nodes: Sequence[str]
) -> list[int]:
    """The version of each model: the one in `fixed` if there is one, or else the newest that is served.

    With running servers that is what the first node to answer has ready; otherwise what the repository holds.
    Raises FatalError or RepositoryError.
    """
    wanted = [(model.name, version) for model, version in zip(spec.models, fixed, strict=True)]
    if spec.triton.url is None:
        return [version or newest(repository, name) for name, version in wanted]
    away: list[ServerAwayError] = []
    for _, answer in _answers(
        nodes, served_versions, spec.triton.url, wanted, spec.triton.timeout_s, spec.triton.credentials
    ):
        if not isinstance(answer, ServerAwayError):
            return list(answer)
        away.append(answer)
    raise _none_of(away)


def cautions_of(triton: TritonSpec, versions: Mapping[str, int], nodes: Sequence[str]) -> list[str]:
    """What makes the running servers of these nodes unsafe to share with online users, each once. Raises FatalError."""
    return _said_once(_answers(nodes, sharing_cautions_of, triton.url, versions, triton.timeout_s, triton.credentials))


def release_cautions_of(triton: TritonSpec, nodes: Sequence[str]) -> list[str]:
    """What is known against the releases of the running servers of these nodes, each once. Raises FatalError."""
    return _said_once(_answers(nodes, security_cautions_of, triton.url, triton.timeout_s, triton.credentials))


def _said_once(answers: Iterator[tuple[str, list[str] | ServerAwayError]]) -> list[str]:
    return sorted({one for _, said in answers if not isinstance(said, ServerAwayError) for one in said})


def ways_to(
    find_server: FindServer, triton: TritonSpec, nodes: Sequence[str], credentials: Credentials
) -> tuple[dict[str, Choice], dict[str, ServerAwayError]]:
    """How each node's actor will reach its server; and the nodes without one, that it was waited for in vain.

    `credentials` are for the servers that `find_server` finds, which need not be those of the job file.
    Raises FatalError if no node has a server, or if one cannot be reached as the job file wants it.
    """
    ways: dict[str, Choice] = {}
    away: dict[str, ServerAwayError] = {}
    for node, answer in _answers(nodes, _way_to, find_server, triton.transport, triton.timeout_s, credentials):
        if isinstance(answer, ServerAwayError):
            away[node] = answer
        else:
            ways[node] = answer
    if not ways:
        raise _none_of(list(away.values()))
    return ways, away


def running(spec: JobSpec, manners: Manners | None) -> str | None:
    """The address of servers that run already and score for this job; None: it starts its own."""
    return spec.triton.url if manners is None or manners.bound is not None else manners.bulk_url


def servers_for(
    spec: JobSpec, manners: Manners | None, crew: Crew, home: Path, roll: Roll
) -> AbstractContextManager[FindServer]:
    """The servers that score: those that run, or others for this job, in the background beside online users."""
    if (url := running(spec, manners)) is not None:
        return nullcontext(SameAddress(url))
    own_lane = manners is not None and manners.bound is None
    users_url = spec.triton.url if own_lane else None
    return managed_servers(
        crew.repository, crew.versions, home, crew.nodes, roll, background=own_lane, users_url=users_url
    )


def free_memory(nodes: Sequence[str]) -> dict[str, int]:
    """The bytes that each node can still give to processes, by its address; nodes that have left are left out."""
    addresses, free = alive_nodes(), _answers(nodes, free_bytes)
    return {addresses.get(node, node): found for node, found in free if not isinstance(found, ServerAwayError)}


def _way_to(find_server: FindServer, wanted: WantedTransport, timeout_s: float, credentials: Credentials) -> Choice:
    return choose(find_server(), wanted, timeout_s, credentials)


def _answers(
    nodes: Sequence[str], function: Callable[..., _Answer], *arguments: Any
) -> Iterator[tuple[str, _Answer | ServerAwayError]]:
    """Calls a function on all nodes; gives what each says, as soon as it does. Raises every other error."""
    ask: Any = ray.remote(function)
    asked = {ask.options(num_cpus=0, scheduling_strategy=on_node(node)).remote(*arguments): node for node in nodes}
    while asked:
        (answered, *_), _ = ray.wait(list(asked))
        yield asked.pop(answered), _answer_of(answered)


def _answer_of(answered: Any) -> Any:
    try:
        return ray.get(answered)
    except RayTaskError as error:
        if not isinstance(error.cause, ServerAwayError):
            raise
        return error.cause
    except RayError:
        return ServerAwayError("the node has left the cluster")


def _none_of(away: Sequence[ServerAwayError]) -> ServerAwayError:
    if len(away) == 1:
        return away[0]
    return ServerAwayError(f"none of the {len(away)} nodes that can score has its server; on one of them: {away[0]}")
