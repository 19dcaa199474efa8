"""The memory of a command and of all processes below it, by kind, as long as it runs.

A page that several processes share counts in parts (proportional set size): the sum over processes counts it once.
Memory that is shared on purpose, Ray's object store and Triton's segments, is told apart from what a process has alone.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

EVERY_S = 0.2
DRIVER, STORE, TRITON_SHARED, ALL = "driver", "Ray's object store", "Triton's shared memory", "all together"
TRITON, _STUB = "Triton", "Triton's stub"
_KINDS = {
    "raylet": "raylet",
    "gcs_server": "Ray's control store",
    "tritonserver": TRITON,
    "triton_python_backend_stub": _STUB,
    "ray::MapWorker": "actor that scores",
    "ray::_ServerKeeper": "actor that keeps the server",
    "ray::": "Ray tasks",
    "default_worker.py": "Ray tasks",
}
"""The beginning of a program's name, or a title that Ray gives it -> kind; the first that fits."""
_OTHERS = "others"


@dataclass(frozen=True)
class Peaks:
    """The most that each kind of process had at once: bytes, and processes."""

    bytes: Counter[str] = field(default_factory=Counter)
    processes: Counter[str] = field(default_factory=Counter)


@contextmanager
def watched(pid: int) -> Iterator[Peaks]:
    """Watches a process and all below it; what it gives is complete when the block has ended."""
    peaks, seen, over = Peaks(), {pid}, threading.Event()

    def watch() -> None:
        while not over.wait(EVERY_S):
            now = looked_at(pid, seen)
            for most, found in ((peaks.bytes, now.bytes), (peaks.processes, now.processes)):
                most |= found  # the larger of both, kind by kind

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join()


def looked_at(root: int, seen: set[int]) -> Peaks:
    """Each kind now. `seen` holds what was once below `root`: it counts also when its parent has ended."""
    found = Peaks()
    for pid in below(root, seen):
        kind = DRIVER if pid == root else kind_of(pid)
        rollup = _rollup(pid)
        shared = rollup.get("Pss_Shmem", 0)
        found.processes[kind] += 1
        found.bytes[kind] += rollup.get("Pss", 0) - shared
        found.bytes[TRITON_SHARED if kind in (TRITON, _STUB) else STORE] += shared
        found.bytes[ALL] += rollup.get("Pss", 0)
    return found


def below(root: int, seen: set[int]) -> set[int]:
    """`root` and what is below it or was once; those that have ended are taken out of `seen`, new ones put in."""
    children: dict[int, list[int]] = defaultdict(list)
    alive = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it ended meanwhile
        children[parent].append(int(folder.name))
        alive.add(int(folder.name))
    seen &= alive
    todo = [root, *seen]
    while todo:
        new = set(children[todo.pop()]) - seen
        seen |= new
        todo += new
    return seen


def kind_of(pid: int) -> str:
    """What a process is, by its command line."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return _OTHERS
    names = [word.rpartition("/")[2] for word in words[:3]] + [words[0]]
    for beginning, kind in _KINDS.items():
        if any(name.startswith(beginning) for name in names):
            return kind
    return _OTHERS


def _rollup(pid: int) -> dict[str, int]:
    """The lines of `smaps_rollup` in bytes; none if the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return {}
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
