"""The threads of online users get a processor each, also where bulk runs on all of them.

The threads that compute a user's request may come to share one processor. The kernel moves one of them at once to a
processor that has nothing to do. One that runs bulk, which gets only the time that nobody else wants, counts as idle
when a thread wakes up, but not when threads that run are balanced: they share for tens of milliseconds. Here a thread
that waits so is moved to a processor where bulk runs, and takes it from bulk. Where it may run stays as it was.

Who looks, every few milliseconds, is a process of its own: it has to run when bulk would not. It is a script for an
interpreter without site-packages, hence nothing but the standard library:

    python balancing.py < PORTS

All other processes below its parent are bulk. A line of its input names the port where the users' server listens; it
ends with its input.
"""

from __future__ import annotations

import math
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from triton_models.server.address import is_here
from triton_models.server.proc import PROC, below, listener, parents

USUAL_PORT = 8001
LOOK_S = 0.004
"""Of a request that takes five times as long, little is lost; who looks more often takes time from those who compute.
Where one took six milliseconds, p95 of users was 3 and 37 % higher with looks every 1 and 0.5 ms than with 2, and alike
with 4 ms; where one took 18, p95 of users at half of the machine was 1.20 times alone with 4 ms and 1.35 with 2, in the
middle of five turns. A look takes 0.15 ms there."""

SURVEY_S = 5.0
AWAIT_S = 1.0
"""Between two surveys where there is nothing to look at: no users' server, or bulk that has nothing to do."""

ENOUGH_TICKS = 10
"""Processes compute if they took so many, of a hundredth of a second as a rule, between two surveys."""

PART = 0.1
"""A thread computes if it took such a part of what the busiest one took."""

Running = tuple[int, int]
"""A thread, and the processor on which it runs or waits to run."""


def moves(users: Sequence[Running], bulk: Sequence[Running]) -> list[Running]:
    """Which threads of users are to move where: those that share a processor, to those where only bulk runs."""
    taken: set[int] = set()
    waiting = []
    for thread, processor in users:
        if processor in taken:
            waiting.append(thread)
        taken.add(processor)
    return list(zip(waiting, sorted({processor for _, processor in bulk} - taken), strict=False))


def move(thread: int, processor: int) -> None:
    """Moves a thread that may run there at once; where it may run stays as it is."""
    with suppress(ProcessLookupError):
        allowed = os.sched_getaffinity(thread)
        if processor in allowed:
            try:
                os.sched_setaffinity(thread, {processor})
            finally:
                os.sched_setaffinity(thread, allowed)


class Computing:
    """The threads of some processes that compute."""

    def __init__(self) -> None:
        self._used: dict[Path, int] = {}
        self._watched: dict[Path, int] = {}
        self._total = 0
        self.is_busy = False

    def survey(self, pids: Iterable[int]) -> None:
        """Finds the threads that computed since the last survey, or, if hardly any did, keeps those of before."""
        used = {thread: ticks for pid in pids for thread, ticks in _threads(pid)}
        spent = {thread: ticks - self._used.get(thread, 0) for thread, ticks in used.items()}
        most = max(spent.values(), default=0)
        total = sum(used.values())
        self.is_busy, self._total = total - self._total >= ENOUGH_TICKS, total
        if most >= ENOUGH_TICKS or not self._watched:
            self._watch([thread for thread, ticks in spent.items() if ticks >= max(1, PART * most)])
            self._used = used

    def running(self) -> list[Running]:
        """Those of them that run, or would if a processor were free."""
        found = []
        for thread, descriptor in list(self._watched.items()):
            try:
                columns = os.pread(descriptor, 1024, 0).rpartition(b")")[2].split()
            except ProcessLookupError:
                os.close(self._watched.pop(thread))
                continue
            if columns[0] == b"R":
                found.append((int(thread.parent.name), int(columns[36])))
        return found

    def _watch(self, threads: list[Path]) -> None:
        for thread in self._watched.keys() - threads:
            os.close(self._watched.pop(thread))
        for thread in threads:
            if thread not in self._watched:
                with suppress(OSError):
                    self._watched[thread] = os.open(thread, os.O_RDONLY)


class Balancing:
    """Balances the server that listens on a port, and the processes below it, against those below `root`."""

    def __init__(self, root: int, port: int) -> None:
        self._root, self._port = root, port
        self._server: tuple[int, int] | None = None  # its pid, and a descriptor that is readable when it has ended
        self._users, self._bulk = Computing(), Computing()
        self._survey_at_s = -math.inf
        self._is_needed = False

    def look(self) -> float:
        """Looks once, and moves what is to be moved; gives the seconds until the next look."""
        if time.monotonic() >= self._survey_at_s:
            self._survey()
        if not self._is_needed:
            return AWAIT_S
        users = self._users.running()
        if len({processor for _, processor in users}) < len(users):
            for thread, processor in moves(users, self._bulk.running()):
                move(thread, processor)
        return LOOK_S

    def _survey(self) -> None:
        above = parents()
        bulk = [pid for pid in below(self._root, above) if pid != os.getpid()]
        server = self._found(bulk)
        self._bulk.survey(bulk)
        self._users.survey([] if server is None else [server, *below(server, above)])
        self._is_needed = server is not None and self._bulk.is_busy
        self._survey_at_s = time.monotonic() + (SURVEY_S if self._is_needed else AWAIT_S)

    def _found(self, bulk: Sequence[int]) -> int | None:
        if self._server is not None and select.select([self._server[1]], [], [], 0)[0]:
            os.close(self._server[1])
            self._server = None
        if self._server is None and (pid := listener(self._port)) is not None and pid not in bulk:
            with suppress(ProcessLookupError):
                self._server = pid, os.pidfd_open(pid)
        return self._server and self._server[0]


class Balancer:
    """The process that looks, for all that is below this process. It is to be started before that steps back."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,  # with a share of the processors that does not depend on ours
        )

    def balance(self, url: str) -> str | None:
        """Lets the server at `url`, as in `localhost:8001`, be balanced against all below this process.

        Gives the reason, for people, if that server cannot be seen here; should it come, it is balanced. Raises
        ValueError if its port is no number.
        """
        address = urlsplit(f"//{url}")
        host, port = address.hostname or "", address.port or USUAL_PORT
        if not is_here(host):
            return f"{host} is another machine"
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{port}\n")
            self._process.stdin.flush()
        if listener(port) is None:
            return f"no process listens on port {port} here, or it is another user's, or in another container"
        return None

    def close(self) -> None:
        """Ends it."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()


def main() -> int:
    """Looks until the input ends."""
    root, balancing = os.getppid(), None
    while True:
        pause_s = None if balancing is None else balancing.look()
        if select.select([sys.stdin], [], [], pause_s)[0]:
            if not (line := sys.stdin.readline()):
                return 0
            balancing = Balancing(root, int(line))


def _threads(pid: int) -> Iterator[tuple[Path, int]]:
    """Where /proc tells of each thread of a process, and the ticks of processor time that it took."""
    with suppress(OSError):
        for thread in (PROC / str(pid) / "task").iterdir():
            with suppress(OSError):
                columns = (thread / "stat").read_text().rpartition(")")[2].split()
                yield thread / "stat", int(columns[11]) + int(columns[12])


if __name__ == "__main__":
    sys.exit(main())
