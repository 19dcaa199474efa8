"""The memory of a node, and what a second server needs of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ray_pipeline.room import free_bytes

MEMORY = "MemTotal:  4000 kB\nMemFree:  1000 kB\nMemAvailable:  2000 kB\n"


@pytest.fixture
def memory_info(tmp_path: Path) -> Path:
    path = tmp_path / "meminfo"
    path.write_text(MEMORY)
    return path


def test_a_machine_gives_what_is_available(memory_info: Path, tmp_path: Path) -> None:
    assert free_bytes(memory_info, tmp_path) == 2000 * 1024
    assert free_bytes() > 0


@pytest.mark.parametrize(("most", "free"), [("max", 2000 * 1024), ("1500000", 500_000), ("9000000", 2000 * 1024)])
def test_a_container_gives_what_its_limit_leaves(memory_info: Path, tmp_path: Path, most: str, free: int) -> None:
    (tmp_path / "memory.max").write_text(f"{most}\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert free_bytes(memory_info, tmp_path) == free
