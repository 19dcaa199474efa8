"""Bulk yields: all processes below one stand still while the server of online users computes.

Time that nobody else wants is not free for the others. The threads that compute a user's request may start on one
processor, and the kernel moves one of them over at once only to a processor with nothing to do; one that runs bulk,
idle as that counts, is not such a one. So a request can take twice as long beside bulk, until the kernel balances its
processors. No priority changes that, but a processor that is left does.

Who looks, each millisecond, is a process of its own: it has to run when bulk would not. It is a script for an
interpreter without site-packages, hence nothing but the standard library:

    python yielding.py < PORTS

It stands in a session of its own below the process whose other descendants it holds. A line of its input names the port
where the users' server listens; at the end of the input, or of its parent, it lets all go on, and ends.
"""

from __future__ import annotations

import math
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from triton_models.server.proc import PROC, below, listener, parents, runs

LOOK_S = 0.001
HELD_LOOK_S = 0.002
"""While bulk stands still there is no hurry, and who looks takes time from those who compute."""

QUIET_LOOKS = 2
"""After so many looks in a row that saw no thread of the users' server run, bulk goes on."""

LONGEST_S = 0.25
"""The longest that it stands still at a stretch. Triton's Python backend takes the process of a model for broken that
does not tell of itself for a second."""

BREATH_S = 0.025
"""How long it runs after that in any case."""

SURVEY_S = 5.0
AWAIT_S = 1.0
"""Between two surveys where there is nothing to look at: no users' server, or bulk that has nothing to do."""

ENOUGH_TICKS = 10
_NAME_AND_STATE = 32
"""The bytes of a `stat` that have them, and not much more."""

_KEEPER = str(Path(__file__).with_name("keeper.py"))

PART = 0.1
"""A thread computes if it took such a part of what the busiest one took."""


@dataclass
class Turn:
    """Whether bulk stands still. Pure: moments are given, in seconds."""

    is_held: bool = False
    _since_s: float = -math.inf
    _free_until_s: float = -math.inf
    _quiet: int = 0

    def look(self, now_s: float, users_compute: bool) -> bool:
        """Takes note of one look; gives whether bulk is to stand still until the next."""
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
        try:
            return any(b") R" in os.pread(descriptor, _NAME_AND_STATE, 0) for descriptor in self._watched.values())
        except ProcessLookupError:
            self._watch([thread for thread in self._watched if thread.exists()])
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


class Bulk:
    """The processes below one; not those that look, and keep servers, for they have to end the others."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._processes: dict[int, int] = {}
        self._spared: set[int] = {os.getpid()}
        self._used = 0
        self._is_held = False
        self.is_busy = True

    def survey(self, parents: dict[int, int]) -> list[int]:
        """Finds the processes, and whether they did anything since the last survey."""
        pids = below(self._root, parents)
        self._spared.intersection_update(pids)
        for pid in self._processes.keys() - pids:
            os.close(self._processes.pop(pid))
        for pid in pids:
            if pid not in self._processes and pid not in self._spared:
                self._add(pid)
        used = sum(_ticks(PROC / str(pid) / "stat") for pid in self._processes)
        self.is_busy, self._used = used != self._used, used
        return pids

    def hold(self, is_held: bool) -> None:
        """Stops all of them, or lets them go on."""
        if is_held != self._is_held:
            self._is_held = is_held
            for process in self._processes.values():
                _send(process, signal.SIGSTOP if is_held else signal.SIGCONT)

    def _add(self, pid: int) -> None:
        if runs(pid, _KEEPER):
            self._spared.add(pid)
            return
        with suppress(ProcessLookupError):
            self._processes[pid] = os.pidfd_open(pid)
            if self._is_held:
                _send(self._processes[pid], signal.SIGSTOP)


class Yielding:
    """Holds all that is below a process, but this one, while the server that listens on a port computes."""

    def __init__(self, root: int, port: int) -> None:
        self._users, self._bulk, self._turn = UsersServer(port), Bulk(root), Turn()
        self._survey_at_s = -math.inf

    def look(self) -> float:
        """Looks once; gives the seconds until the next look."""
        now_s = time.monotonic()
        if now_s >= self._survey_at_s:
            above = parents()
            self._users.survey(above, self._bulk.survey(above))
            self._survey_at_s = now_s + (SURVEY_S if self._is_needed else AWAIT_S)
        if not self._is_needed:
            self.let_go()
            return AWAIT_S
        is_held = self._turn.look(now_s, self._users.computes())
        self._bulk.hold(is_held)
        return HELD_LOOK_S if is_held else LOOK_S

    def let_go(self) -> None:
        """Lets them run."""
        self._turn = Turn()
        self._bulk.hold(False)

    @property
    def _is_needed(self) -> bool:
        return self._users.is_watched and self._bulk.is_busy


class Yielder:
    """The process that looks, for all that is below this process. It is to be started before that steps back."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,  # with a share of the processors that does not depend on ours
        )
        threading.Thread(target=self._let_go_after_it, daemon=True).start()

    def yield_to(self, url: str) -> str | None:
        """Lets all below this process stand still while the server at `url`, as in `localhost:8001`, computes.

        Gives the reason, for people, if that server cannot be seen here; should it come, it is yielded to.
        """
        host, _, port = url.rpartition(":")
        if not _is_here(host.strip("[]")):
            return f"{host} is another machine"
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{int(port)}\n")
            self._process.stdin.flush()
        if listener(int(port)) is None:
            return f"no process listens on port {port} here, or it is another user's, or in another container"
        return None

    def close(self) -> None:
        """Ends it; all that it holds goes on."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _let_go_after_it(self) -> None:
        """Should it have been killed, what it held would stand still for ever."""
        if self._process.wait() != 0:
            for pid in below(os.getpid(), parents()):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


@contextmanager
def yielder() -> Iterator[Yielder]:
    """The process that looks, while the block runs; it waits to be told for whom."""
    looking = Yielder()
    try:
        yield looking
    finally:
        looking.close()


def main() -> int:
    """Looks until the input or the parent ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it ends after what it holds
    root, yielding = os.getppid(), None
    while True:
        pause_s = None if yielding is None else yielding.look()
        if select.select([sys.stdin], [], [], pause_s)[0]:
            if yielding is not None:
                yielding.let_go()
            if not (line := sys.stdin.readline()):
                return 0
            yielding = Yielding(root, int(line))


def _is_here(host: str) -> bool:
    """Whether an address is one of this machine's."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as sock:
            sock.bind(place)
    except OSError:
        return False
    return True


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


if __name__ == "__main__":
    sys.exit(main())
