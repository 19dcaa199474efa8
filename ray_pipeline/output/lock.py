"""One run at a time works on an output folder; a run that died does not block the next."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ray_pipeline.errors import OutputError
from triton_models.errors import StorageError
from triton_models.storage import Storage

FOLDER = "_lock"
BEAT_S = 5.0
"""How often a run shows that it is alive."""
MISSED_BEATS = 4
"""A run on another machine that stays silent for so many is dead."""


@dataclass(frozen=True)
class Holder:
    """The run that works on a folder. `born` tells its process from a later one of the same number."""

    host: str
    pid: int
    born: str
    since: str
    beat: int = 0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


@contextmanager
def locked(output: Storage, beat_s: float = BEAT_S) -> Iterator[None]:
    """Holds the lock of a folder.

    The locks are numbered objects: of all runs that see the same dead holder, exactly one can create the next number.
    Raises OutputError if another run is alive.
    """
    number = _take(output, beat_s)
    stop = threading.Event()
    beating = threading.Thread(target=_beat, args=(output, number, stop, beat_s), daemon=True)
    beating.start()
    try:
        yield
    finally:
        stop.set()
        beating.join()
        output.delete(_path(number))


def check_free(output: Storage, beat_s: float = BEAT_S) -> int:
    """The number of the newest lock, whose holder is dead, or 0. Raises OutputError if a run is alive."""
    number = _newest(output)
    found = _read(output, number) if number else None
    if found is not None and is_alive(output, found, beat_s):
        raise OutputError(
            f"{output.uri}: another run of this job works on it ({found}). Wait for it, watch it with "
            f"`rayton status {output.uri}`, or stop it; two runs would do everything twice"
        )
    return number


def holder(output: Storage) -> Holder | None:
    """The run that has the lock, dead or alive; None if there is none."""
    number = _newest(output)
    return _read(output, number) if number else None


def is_alive(output: Storage, found: Holder, beat_s: float = BEAT_S) -> bool:
    """Whether a run still works; one on another machine is watched until it beats, or has missed too many."""
    if found.host == _this_host():
        return _born(found.pid) == found.born
    number, deadline = _newest(output), time.monotonic() + MISSED_BEATS * beat_s
    pause = threading.Event()
    while time.monotonic() < deadline:
        pause.wait(beat_s / 2)
        now = _read(output, number)
        if now is None or now.beat != found.beat:
            return now is not None
    return False


def _take(output: Storage, beat_s: float) -> int:
    while True:
        number = check_free(output, beat_s)
        if output.create(_path(number + 1), _content(_myself(), 0)):
            output.delete(*(_path(old) for old in range(max(1, number - 8), number + 1)))
            return number + 1


def _beat(output: Storage, number: int, stop: threading.Event, beat_s: float) -> None:
    beat = 0
    myself = _myself()
    while not stop.wait(beat_s):
        beat += 1
        try:
            output.write(_path(number), _content(myself, beat))
        except (StorageError, OSError):
            continue  # a store that is down for a while says so where rows are lost by it, and not here


def _newest(output: Storage) -> int:
    return max((int(one.path.removesuffix(".json")) for one in output.at(FOLDER).objects()), default=0)


def _read(output: Storage, number: int) -> Holder | None:
    try:
        return Holder(**json.loads(output.read(_path(number))))
    except FileNotFoundError:
        return None


def _path(number: int) -> str:
    return f"{FOLDER}/{number:06}.json"


def _content(myself: Holder, beat: int) -> bytes:
    return json.dumps(asdict(myself) | {"beat": beat}).encode()


def _myself() -> Holder:
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    return Holder(_this_host(), os.getpid(), _born(os.getpid()), since)


def _this_host() -> str:
    """The machine, in this one of its lives."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{socket.gethostname()} ({boot[:8]})"


def _born(pid: int) -> str:
    """When a process was started, in ticks since the machine was; empty if there is none."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return status[19] if status[0] != "Z" else ""
