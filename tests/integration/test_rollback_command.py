"""`rayton models rollback --load`, typed by an engineer while a server answers from the version that has to go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.support.command import run_rayton
from tests.support.numbered import NAME, number_of, publish_number
from tests.support.triton import start
from triton_models.repository.versions import read_card, versions
from triton_models.server.live import load_everywhere
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime
from triton_models.storage import Storage, open_storage

GOOD, BAD = 10, 20
"""What versions 1 and 2 answer, so that an answer is not taken for the number of its version."""


@pytest.fixture
def repository(tmp_path: Path) -> Storage:
    """A repository with version 1."""
    repository = open_storage(str(tmp_path / "models"))
    publish_number(repository, GOOD)
    return repository


@pytest.fixture
def server(runtime: Runtime, repository: Storage) -> Iterator[NodeServer]:
    """A server that loaded version 1 and, while it ran, version 2."""
    assert repository.local is not None
    with start(runtime, repository.local) as server:
        load_everywhere([server.grpc_url], NAME, publish_number(repository, BAD).version)
        assert number_of(server.grpc_url) == BAD
        yield server


def roll_back(home: Path, repository: Storage, *words: str) -> CompletedProcess[str]:
    return run_rayton(home, "models", "rollback", NAME, "--repository", repository.uri, *words)


def test_the_server_answers_from_the_older_content_and_the_command_says_so(
    home: Path, repository: Storage, server: NodeServer
) -> None:
    done = roll_back(home, repository, "--to", "1", "--load", server.grpc_url)
    assert done.returncode == 0, done.stderr
    assert number_of(server.grpc_url) == GOOD
    assert read_card(repository, NAME, 3).copy_of == 1
    assert done.stdout.splitlines() == [
        f"{NAME} version 3 is published, a copy of version 1: {repository.uri}/{NAME}/3",
        f"{server.grpc_url} answers from version 3",
    ]
    assert done.stderr == f"loading version 3 of {NAME} into {server.grpc_url}\n"


def test_an_address_without_a_server_is_named_before_anything_is_published(
    home: Path, repository: Storage, server: NodeServer, free_port: int
) -> None:
    nobody = f"127.0.0.1:{free_port}"
    done = roll_back(home, repository, "--load", server.grpc_url, "--load", nobody)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: no server answers at {nobody} ")
    assert done.stderr.endswith("is this its gRPC port? (nothing was published)\n")
    assert versions(repository, NAME) == [1, 2]
    assert number_of(server.grpc_url) == BAD
