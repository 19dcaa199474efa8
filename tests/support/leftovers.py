"""Finds processes and shared memory that outlived what made them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

TOKEN_VARIABLE = "RAYTON_TEST_TOKEN"
PATIENCE_S = 20.0

T = TypeVar("T")


def left_processes(token: str) -> list[str]:
    """Command lines of processes, other than this one, that inherited the token and do not end in time."""
    return _settled(lambda: [command(pid) for pid in _carriers(token)])


def left_shared_memory(before: set[str]) -> list[str]:
    """Rayton's segments in /dev/shm that came after `before` and belong to no live process other than this one."""
    return _settled(lambda: sorted(name for name in shared_memory() - before if not _has_other_owner(name)))


def shared_memory() -> set[str]:
    """The names of Rayton's segments in /dev/shm."""
    return {path.name for path in Path("/dev/shm").glob("rayton-*")}


def shared_memory_of(pid: int) -> set[str]:
    """Those of them that belong to one process."""
    return {name for name in shared_memory() if _owner(name) == pid}


def descendants(pid: int) -> set[int]:
    """All processes below one."""
    parents = {int(path.name): parent_of(int(path.name)) for path in Path("/proc").glob("[0-9]*")}
    found: set[int] = set()
    while new := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= new
    return found


def await_end(pids: set[int], timeout_s: float = PATIENCE_S) -> set[int]:
    """Waits until processes have ended; returns those that have not."""
    return set(_settled(lambda: sorted(pid for pid in pids if is_alive(pid)), timeout_s))


def _settled(found: Callable[[], list[T]], timeout_s: float = PATIENCE_S) -> list[T]:
    deadline = time.monotonic() + timeout_s
    while (left := found()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _carriers(token: str) -> list[int]:
    wanted = f"{TOKEN_VARIABLE}={token}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            carries = wanted in (path / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if carries and int(path.name) != os.getpid() and is_alive(int(path.name)):
            found.append(int(path.name))
    return found


def _has_other_owner(name: str) -> bool:
    owner = _owner(name)
    return owner not in (-1, os.getpid()) and is_alive(owner)


def _owner(name: str) -> int:
    """The process whose a segment is, -1 if its name does not say so."""
    parts = name.split("-")
    return int(parts[2]) if len(parts) > 2 and parts[2].isdecimal() else -1


def is_alive(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def parent_of(pid: int) -> int:
    """The parent of a process, -1 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return -1


def command(pid: int) -> str:
    """The command line of a process, empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
