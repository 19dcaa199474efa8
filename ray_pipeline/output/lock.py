"""One run at a time works on an output folder; a run that died does not block the next."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ray_pipeline.errors import OutputError
from ray_pipeline.output.explained import explained
from triton_models.errors import StorageError
from triton_models.server.proc import start_of
from triton_models.storage import Storage
from triton_models.typed_json import dumps, loads, reader_of

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


_READ = reader_of(Holder)
_LOCK = re.compile(r"([0-9]{6,18})\.json")


@contextmanager
def locked(output: Storage, beat_s: float = BEAT_S) -> Iterator[None]:
    """Holds the lock of a folder.

    The locks are numbered objects: of all runs that see the same dead holder, exactly one can create the next number.
    Raises OutputError if another run is alive. A lock that a failing store keeps from being given back is that of a
    dead run as soon as this process ends.
    """
    myself = _myself()
    number = _take(output, myself, beat_s)
    stop = threading.Event()
    at_once = replace(output, timeout_s=0)  # a store that fails is asked again at the next beat, or by the next run
    beating = threading.Thread(target=_beat, args=(at_once, number, myself, stop, beat_s), daemon=True)
    beating.start()
    try:
        yield
    finally:
        stop.set()
        beating.join()
        with suppress(StorageError, OSError):
            if _holds(at_once, number, myself):
                at_once.delete(_path(number))


def check_free(output: Storage, beat_s: float = BEAT_S) -> None:
    """Raises OutputError if another run is alive."""
    _refuse_living(output, holder(output), beat_s)


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


def _refuse_living(output: Storage, found: Holder | None, beat_s: float) -> None:
    if found is not None and is_alive(output, found, beat_s):
        raise OutputError(
            f"{output.uri}: another run of this job works on it ({found}). Wait for it, watch it with "
            f"`rayton status {output.uri}`, or stop it; two runs would do everything twice"
        )


def _take(output: Storage, myself: Holder, beat_s: float) -> int:
    while True:
        number = _newest(output)
        found = _read(output, number) if number else None
        if number and found is None:
            continue  # given back since the folder was listed: the numbers begin anew
        _refuse_living(output, found, beat_s)
        if not output.create(_path(number + 1), _content(myself)):
            continue
        # Had the numbers begun anew meanwhile, another run would hold another number.
        if _newest(output) == number + 1 and (number == 0 or _read(output, number) == found):
            output.delete(*(_path(old) for old in range(max(1, number - 8), number + 1)))
            return number + 1
        output.delete(_path(number + 1))


def _beat(output: Storage, number: int, myself: Holder, stop: threading.Event, beat_s: float) -> None:
    beat = 0
    while not stop.wait(beat_s):
        beat += 1
        try:
            if _holds(output, number, myself):  # a run that stood still for long may have lost it
                output.write(_path(number), _content(replace(myself, beat=beat)))
        except (StorageError, OSError):
            continue  # a store that is down for a while says so where rows are lost by it, and not here


def _holds(output: Storage, number: int, myself: Holder) -> bool:
    found = _read(output, number)
    return found is not None and replace(found, beat=0) == myself


def _newest(output: Storage) -> int:
    names = (_LOCK.fullmatch(one.path) for one in output.at(FOLDER).objects())
    return max((int(name[1]) for name in names if name), default=0)


def _read(output: Storage, number: int) -> Holder | None:
    try:
        with explained(output, _path(number), "is no lock of a run", "delete it if no run works on this folder"):
            return _READ(loads(output.read(_path(number))))
    except FileNotFoundError:
        return None


def _path(number: int) -> str:
    return f"{FOLDER}/{number:06}.json"


def _content(myself: Holder) -> bytes:
    return dumps(myself).encode()


def _myself() -> Holder:
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    return Holder(_this_host(), os.getpid(), _born(os.getpid()), since)


def _this_host() -> str:
    """The machine in this one of its lives, and in it the container: process numbers count in one alone."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    processes = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    return f"{socket.gethostname()} ({boot[:8]}-{processes})"


def _born(pid: int) -> str:
    """When a process was started, in ticks since the machine was; empty if there is none."""
    return str(start_of(pid) or "")
