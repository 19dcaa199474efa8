"""What all tests share: the embedded server's environment, and the proof that they leave nothing behind."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.leftovers import TOKEN_VARIABLE, left_processes, left_shared_memory, shared_memory
from triton_models.server.ports import steady_port
from triton_models.server.runtime import Runtime, ensure_runtime

ROOT = Path(__file__).parent.parent
STATUS = pytest.StashKey[int]()
"""Of the whole run."""

# Before Ray is imported: on one machine it listens on loopback.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


@pytest.fixture(scope="session")
def home() -> Path:
    """Where the embedded server's environment is kept between runs of the tests."""
    return Path(os.environ.get("RAYTON_HOME") or ROOT / ".rayton").absolute()


@pytest.fixture(scope="session")
def runtime(home: Path) -> Runtime:
    """The embedded server's environment, installed on first use."""
    return ensure_runtime(home, print)


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Every process that the tests start inherits a token: none that carries it may outlive them."""
    token = secrets.token_hex(8)
    os.environ[TOKEN_VARIABLE] = token
    before = shared_memory()
    yield
    assert left_processes(token) == []
    assert left_shared_memory(before) == []


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keeps the status of the whole run for the very end."""
    session.config.stash[STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leaves out the interpreter's own end: in a process in which gRPC, Ray and Arrow had all worked for an hour, a
    thread of theirs crashed there when all was reported. Commands end in processes of their own, which tests see.
    """
    if STATUS in config.stash:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash[STATUS])


@pytest.fixture
def free_port() -> int:
    """A port on which nothing listens, and which the system gives to nobody."""
    return steady_port()
