"""What the process of a model and its Triton know of each other; the real one's is looked at in test_given_up.py."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.waiting import until
from triton_models.backends.onnxruntime import lifeline
from triton_models.backends.onnxruntime.lifeline import (
    EXPECTED_LENGTH,
    HEAD_AND_TAIL,
    LENGTH,
    OWNERSHIP,
    QUEUE_HANDLE,
    LayoutError,
    Lifeline,
    Server,
)

CONTROL, QUEUE = 256, 1024


def write_region(
    path: Path, *, size: int = 4096, length: int = EXPECTED_LENGTH, head: int = 3, tail: int = 3
) -> Server:
    memory = bytearray(max(size, 4096))
    struct.pack_into("q", memory, CONTROL + OWNERSHIP + QUEUE_HANDLE, QUEUE)
    struct.pack_into("Q", memory, QUEUE + OWNERSHIP + LENGTH, length)
    struct.pack_into("ii", memory, QUEUE + OWNERSHIP + HEAD_AND_TAIL, head, tail)
    path.write_bytes(memory[:size])
    return Server(os.getpid(), path.name, CONTROL)


@contextmanager
def held(server: Server) -> Iterator[Lifeline]:
    line = Lifeline(server)
    try:
        yield line
    finally:
        line.cut()


@pytest.fixture
def region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(lifeline, "SHARED_MEMORY", tmp_path)
    return tmp_path / "region"


def test_signs_of_life_come_again_and_again(region: Path) -> None:
    with held(write_region(region)):
        for _ in range(3):
            with region.open("r+b") as file:
                file.seek(CONTROL + OWNERSHIP)
                file.write(b"\0")
            until(lambda: region.read_bytes()[CONTROL + OWNERSHIP], "a sign", patience_s=30.0)
            assert region.read_bytes()[CONTROL + OWNERSHIP] == 1


@pytest.mark.parametrize(("head", "tail", "given_up"), [(3, 3, False), (4, 3, True), (0, EXPECTED_LENGTH - 1, True)])
def test_a_call_is_given_up_when_something_more_waits_in_the_queue(
    region: Path, head: int, tail: int, given_up: bool
) -> None:
    with held(write_region(region, head=head, tail=tail)) as line:
        assert line.is_given_up() is given_up


def test_memory_of_another_layout_is_refused(region: Path) -> None:
    with pytest.raises(LayoutError, match="region of Triton has 7 where the length of a queue, 1000, should be"):
        Lifeline(write_region(region, length=7))
    with pytest.raises(LayoutError, match="region of Triton is too small"):
        Lifeline(write_region(region, size=300))
