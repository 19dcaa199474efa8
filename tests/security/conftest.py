"""What attacks share: a store, what tells that code ran, and a process that is left as it was."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.s3 import object_store


@pytest.fixture(autouse=True)
def handlers_as_before() -> Iterator[None]:
    """`rayton serve` has handlers of its own for the signals that stop it."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """The address of an object store with the bucket `bucket`."""
    with object_store("bucket") as address:
        yield address


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Made by code that runs."""
    return tmp_path / "it_ran"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place for files; each example writes its own over that of the one before."""
    return tmp_path_factory.mktemp("fuzz")
