"""New versions get into a server while others use it: no request fails, and no answer comes from a stale version."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.load import Asked, steady_load
from tests.support.numbered import NAME, number_of, publish_broken, publish_number
from tests.support.triton import start
from triton_models.repository.publish import Published
from triton_models.repository.rollback import roll_back
from triton_models.server.errors import BrokenModelError, UnreachableError, VersionMissingError
from triton_models.server.live import load_everywhere
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime
from triton_models.storage import Storage, open_storage

REQUESTS_PER_S = 50
VERSIONS = 20


@pytest.fixture
def repository(tmp_path: Path) -> Storage:
    """A repository with version 1, which answers 1."""
    repository = open_storage(str(tmp_path / "models"))
    publish_number(repository, 1)
    return repository


@pytest.fixture
def server(runtime: Runtime, repository: Storage) -> Iterator[NodeServer]:
    """A server that has loaded version 1."""
    assert repository.local is not None
    with start(runtime, repository.local) as server:
        yield server


class Timeline:
    """When each number began and ceased to be current: from its publication until the next one was loaded."""

    def __init__(self, number: int) -> None:
        self._began: list[tuple[int, float]] = [(number, 0.0)]
        self._replaced: list[float] = []

    def load(self, server: NodeServer, published: Published, number: int, published_after: float) -> None:
        """Makes the server load a version that was not there before `published_after`, and notes when it had."""
        load_everywhere([server.grpc_url], NAME, published.version)
        self._began.append((number, published_after))
        self._replaced.append(time.monotonic())

    def explains(self, one: Asked) -> bool:
        """Whether the answer is that of a version which was current at some moment while it was asked for."""
        ends = [*self._replaced, float("inf")]
        return any(
            one.answer == number and began <= one.answered and one.sent <= ended
            for (number, began), ended in zip(self._began, ends, strict=True)
        )


def test_twenty_versions_and_a_rollback_under_load_fail_no_request_and_serve_nothing_stale(
    server: NodeServer, repository: Storage
) -> None:
    timeline = Timeline(1)
    with steady_load(server.grpc_url, NAME, REQUESTS_PER_S) as load:
        for number in range(2, VERSIONS + 2):
            before = time.monotonic()
            timeline.load(server, publish_number(repository, number), number, before)
        before = time.monotonic()
        restored = roll_back(repository, NAME)
        timeline.load(server, restored, VERSIONS, before)

    assert restored.version == VERSIONS + 2
    assert [one.error for one in load.asked if one.error] == []
    assert [one for one in load.asked if not timeline.explains(one)] == []
    assert len({one.answer for one in load.asked}) > VERSIONS / 2, "the users did not see the versions go by"
    assert load.asked[-1].answer == VERSIONS
    slowest_ms = 1000 * max(one.answered - one.sent for one in load.asked)
    print(f"{len(load.asked)} requests, {VERSIONS} versions and a rollback, worst latency {slowest_ms:.0f} ms")


def test_a_version_that_does_not_load_stops_at_the_first_server_which_goes_on_with_the_old_one(
    runtime: Runtime, server: NodeServer, repository: Storage
) -> None:
    assert repository.local is not None
    with start(runtime, repository.local) as second:
        addresses = [server.grpc_url, second.grpc_url]
        broken = publish_broken(repository)
        with pytest.raises(BrokenModelError) as refusal:
            load_everywhere(addresses, NAME, broken.version)
        assert str(refusal.value).startswith(f"{server.grpc_url} cannot load {NAME}: unable to load model")
        assert "At:" not in str(refusal.value)
        assert str(refusal.value).endswith(f"; {second.grpc_url} was not asked any more")
        assert [number_of(address) for address in addresses] == [1, 1]

        said: list[str] = []
        load_everywhere(addresses, NAME, publish_number(repository, 3).version, say=said.append)
        assert [number_of(address) for address in addresses] == [3, 3]
        assert said == [f"loading version 3 of {NAME} into {address}" for address in addresses]


def test_a_server_that_is_not_there_is_named_before_another_one_loads_anything(
    server: NodeServer, repository: Storage, free_port: int
) -> None:
    published = publish_number(repository, 2)
    with pytest.raises(UnreachableError, match=f"no server answers at 127.0.0.1:{free_port} .*is it running"):
        load_everywhere([server.grpc_url, f"127.0.0.1:{free_port}"], NAME, published.version)
    assert number_of(server.grpc_url) == 1


@pytest.mark.parametrize("name", [NAME, "unknown"])
def test_a_server_of_another_repository_is_waited_for_and_then_named(server: NodeServer, name: str) -> None:
    said: list[str] = []
    serves = "version 1" if name == NAME else "no version"
    with pytest.raises(
        VersionMissingError, match=f"{server.grpc_url} serves {serves} of {name}, not 7; give that server"
    ):
        load_everywhere([server.grpc_url], name, 7, timeout_s=0.5, say=said.append)
    assert "does not have version 7 yet" in said[-1]


def test_a_server_that_serves_a_newer_version_already_is_named_at_once(server: NodeServer, repository: Storage) -> None:
    overtaken = publish_number(repository, 2)
    load_everywhere([server.grpc_url], NAME, publish_number(repository, 3).version)
    with pytest.raises(VersionMissingError, match=f"serves version 3 of {NAME}, not 2"):
        load_everywhere([server.grpc_url], NAME, overtaken.version, timeout_s=3600)
