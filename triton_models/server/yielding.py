"""A server in the background yields: it stands still while that of online users computes.

Time that nobody else wants is not free for the others. Two requests of users that come together may start on one
processor, and the kernel moves one of them over at once only to a processor with nothing to do; one that runs the
background, idle as that counts, is not such a one. So a request can take twice as long beside the background, until the
kernel balances its processors. No priority changes that, but a processor that is left does.

Nothing but the standard library: a server's keeper uses it.
"""

from __future__ import annotations

import math
import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from triton_models.server.proc import PROC, below, listener, parents

LOOK_S = 0.001
QUIET_LOOKS = 2
"""After so many looks in a row that saw no thread of the users' server run, the background goes on."""

LONGEST_S = 0.25
"""The longest that it stands still at a stretch. Triton's Python backend takes the process of a model for broken that
does not tell of itself for a second."""

BREATH_S = 0.025
"""How long it runs after that in any case."""

SURVEY_S = 5.0
AWAIT_S = 1.0
"""Between two surveys where there is nothing to look at: no users' server, or a background with nothing to do."""

ENOUGH_TICKS = 10
PART = 0.1
"""A thread computes if it took such a part of what the busiest one took."""


@dataclass
class Turn:
    """Whether the background stands still. Pure: moments are given, in seconds."""

    is_held: bool = False
    _since_s: float = -math.inf
    _free_until_s: float = -math.inf
    _quiet: int = 0

    def look(self, now_s: float, users_compute: bool) -> bool:
        """Takes note of one look; gives whether the background is to stand still until the next."""
        if self.is_held:
            self._quiet = 0 if users_compute else self._quiet + 1
            if self._quiet >= QUIET_LOOKS:
                self.is_held = False
            elif now_s - self._since_s >= LONGEST_S:
                self.is_held, self._free_until_s = False, now_s + BREATH_S
        elif users_compute and now_s >= self._free_until_s:
            self.is_held, self._since_s, self._quiet = True, now_s, 0
        return self.is_held


class UsersServer:
    """The threads with which the server that listens on a port computes, and the processes below it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: tuple[int, int] | None = None  # its pid, and a descriptor that is readable when it has ended
        self._used: dict[Path, int] = {}
        self._watched: dict[Path, int] = {}

    @property
    def is_watched(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self._watched)

    def survey(self, parents: dict[int, int], apart: Iterable[int]) -> None:
        """Finds the server, unless it is one of the processes `apart`, and the threads that computed since the last
        survey that saw any compute."""
        if (server := self._found(apart)) is None:
            self._watch([])
            return
        used = {thread: ticks for pid in (server, *below(server, parents)) for thread, ticks in _threads(pid)}
        spent = {thread: ticks - self._used.get(thread, 0) for thread, ticks in used.items()}
        most = max(spent.values(), default=0)
        if most >= ENOUGH_TICKS or not self._watched:
            self._watch([thread for thread, ticks in spent.items() if ticks >= PART * most])
            self._used = used

    def computes(self) -> bool:
        """Whether one of those threads runs, or would if a processor were free."""
        for thread, descriptor in list(self._watched.items()):
            try:
                status = os.pread(descriptor, 64, 0)
            except ProcessLookupError:
                os.close(self._watched.pop(thread))
                continue
            if status[status.rindex(b")") + 2 :].startswith(b"R"):
                return True
        return False

    def _found(self, apart: Iterable[int]) -> int | None:
        if self._server is not None and select.select([self._server[1]], [], [], 0)[0]:
            os.close(self._server[1])
            self._server, self._used = None, {}
        if self._server is None and (pid := listener(self._port)) is not None and pid not in apart:
            with suppress(ProcessLookupError):
                self._server = pid, os.pidfd_open(pid)
        return self._server and self._server[0]

    def _watch(self, threads: list[Path]) -> None:
        for thread in self._watched.keys() - threads:
            os.close(self._watched.pop(thread))
        for thread in threads:
            if thread not in self._watched:
                with suppress(OSError):
                    self._watched[thread] = os.open(thread, os.O_RDONLY)


class Background:
    """All processes below this one."""

    def __init__(self) -> None:
        self._processes: dict[int, int] = {}
        self._used = 0
        self._is_held = False
        self.is_busy = True

    def survey(self, parents: dict[int, int]) -> list[int]:
        """Finds the processes, and whether they did anything since the last survey."""
        pids = below(os.getpid(), parents)
        for pid in self._processes.keys() - pids:
            os.close(self._processes.pop(pid))
        for pid in pids:
            if pid not in self._processes:
                with suppress(ProcessLookupError):
                    self._processes[pid] = os.pidfd_open(pid)
                    if self._is_held:
                        _send(self._processes[pid], signal.SIGSTOP)
        used = sum(_ticks(PROC / str(pid) / "stat") for pid in pids)
        self.is_busy, self._used = used != self._used, used
        return pids

    def hold(self, is_held: bool) -> None:
        """Stops all of them, or lets them go on."""
        if is_held != self._is_held:
            self._is_held = is_held
            for process in self._processes.values():
                _send(process, signal.SIGSTOP if is_held else signal.SIGCONT)


class Yielding:
    """Holds all processes below this one while the server that listens on a port computes. For one thread."""

    def __init__(self, port: int) -> None:
        self._users, self._background, self._turn = UsersServer(port), Background(), Turn()
        self._survey_at_s = -math.inf

    def look(self) -> float:
        """Looks once; gives the seconds until the next look."""
        now_s = time.monotonic()
        if now_s >= self._survey_at_s:
            above = parents()
            self._users.survey(above, self._background.survey(above))
            self._survey_at_s = now_s + (SURVEY_S if self._is_needed else AWAIT_S)
        if not self._is_needed:
            self.let_go()
            return max(0.0, self._survey_at_s - time.monotonic())
        self._background.hold(self._turn.look(now_s, self._users.computes()))
        return LOOK_S

    def let_go(self) -> None:
        """Lets them run."""
        self._turn = Turn()
        self._background.hold(False)

    @property
    def _is_needed(self) -> bool:
        return self._users.is_watched and self._background.is_busy


def _threads(pid: int) -> Iterator[tuple[Path, int]]:
    """Where /proc tells of each thread of a process, and the ticks of processor time that it took."""
    with suppress(OSError):
        for thread in (PROC / str(pid) / "task").iterdir():
            yield thread / "stat", _ticks(thread / "stat")


def _ticks(status: Path) -> int:
    """The ticks of processor time, of a hundredth of a second as a rule, that a `stat` tells; 0 if it is gone."""
    try:
        columns = status.read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(columns[11]) + int(columns[12])


def _send(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, number)
