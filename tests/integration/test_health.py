"""`rayton health` says from outside whether a server serves all of its models."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from tests.support import served_models
from tests.support.command import run_rayton
from tests.support.served_models import AFFINE, LOOKUP, ONE_CPU, write_version
from tests.support.serving import Serving, serving
from triton_models.server.runtime import Runtime

CONFIG = "max_batch_size: 8\n" + AFFINE + ONE_CPU
NOTHING = "max_batch_size: 8\n" + LOOKUP + ONE_CPU


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("health") / "models"


@pytest.fixture(scope="module")
def served(runtime: Runtime, home: Path, repository: Path) -> Iterator[Serving]:
    """A server whose repository has no model yet."""
    repository.mkdir()
    with serving(home, repository) as served:
        yield served


def health(home: Path, address: str, *options: str) -> subprocess.CompletedProcess[str]:
    return run_rayton(home, "health", address, *options, timeout_s=60)


def test_a_server_is_healthy_while_each_of_its_models_answers(home: Path, served: Serving, repository: Path) -> None:
    """One story, as a server remembers: no model, one that answers, one whose next version is broken, a mute one."""
    address = served.report["gRPC"]
    done = health(home, address)
    assert (done.returncode, done.stdout) == (0, f"{address} answers: no model is in the repository yet\n")

    write_version(repository, "affine", served_models.affine(), CONFIG + "version_policy { all { } }\n")
    with InferenceServerClient(address) as client:
        client.load_model("affine")
        done = health(home, address)
        assert (done.returncode, done.stdout) == (0, f"{address} answers: affine 1\n")

        (repository / "affine" / "2").mkdir()
        (repository / "affine" / "2" / "model.onnx").write_bytes(b"no model")
        with pytest.raises(InferenceServerException):
            client.load_model("affine")
        assert not client.is_server_ready(), "Triton itself takes the server for lost"
        done = health(home, address)
        assert (done.returncode, done.stdout) == (0, f"{address} answers: affine 1\n")

        write_version(repository, "mute", served_models.table_lookup(rows=0), NOTHING)
        client.load_model("mute")
        done = health(home, address)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("error: mute version 1 was loaded but answers no request: ")
        assert done.stderr.count("\n") == 1
        done = health(home, address, "--no-probe")
        assert (done.returncode, done.stdout) == (0, f"{address} is ready: affine 1, mute 1\n")


def test_no_server_at_the_address_is_a_clear_error(home: Path, served: Serving, free_port: int) -> None:
    done = health(home, f"127.0.0.1:{free_port}")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: no server answers at 127.0.0.1:{free_port} ")
