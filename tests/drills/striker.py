"""Strikes the victims of a drill while its job runs, each at the moment of its request."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

from tests.drills.place import Place
from tests.drills.plan import Drill, Victim
from tests.support.connections import process_behind
from tests.support.faulty_s3 import Fault, FaultyProxy, Rule
from tests.support.ray_nodes import kill, kill_node

FAULTS_OF_A_BAD_STORE = [Rule(fault, rate=0.1, at_most=2) for fault in Fault]
RUN_S = 300.0

Repair = Callable[[], None]


class Striker:
    """Sees each request of the job at the proxy; while it strikes, that request is held and so are all others.

    `left` has the strikes that are still to come. Each that came has hit a victim that was alive.
    """

    def __init__(self, drill: Drill, place: Place, proxy: FaultyProxy) -> None:
        self.left = list(drill.strikes)
        self._place, self._proxy = place, proxy
        self._parts: set[str] = set()
        self._reads = 0
        self._failures: list[BaseException] = []
        self._repairs: SimpleQueue[Repair | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._run: subprocess.Popen[str] | None = None
        self._outage = False
        proxy.watch = self._watch

    def strike_during(self, run: subprocess.Popen[str]) -> tuple[int, str]:
        """Strikes while a run lasts and mends what can be mended; gives its exit status, and what it says of errors."""
        self._run = run
        with ThreadPoolExecutor(1) as waiting:
            ended = waiting.submit(_end_of, run)
            ended.add_done_callback(lambda _: self._repairs.put(None))
            for repair in iter(self._repairs.get, None):
                repair()
        with self._lock:  # a strike may still be under way
            self._run, self._outage = None, False
        self._repairs.put(None)
        for repair in iter(self._repairs.get, None):
            repair()
        for failure in self._failures:
            raise failure
        return run.returncode, ended.result()

    def _watch(self, method: str, key: str, client_port: int) -> Fault | None:
        with self._lock:
            if self._run is None or self._outage:
                return Fault.RESET if self._outage else None
            try:
                return self._strike_at(method, key, client_port)
            except BaseException as error:
                self._failures.append(error)
                raise

    def _strike_at(self, method: str, key: str, client_port: int) -> Fault | None:
        if method == "PUT" and "/data/" in key and key not in self._parts:
            self._parts.add(key)
            return self._due(len(self._parts), client_port, reading=False)
        if method == "GET" and "/in/" in key and self._worker_behind(client_port) is not None:
            self._reads += 1
            return self._due(self._reads, client_port, reading=True)
        return None

    def _due(self, nth: int, client_port: int, *, reading: bool) -> Fault | None:
        for strike in self.left:
            if strike.nth == nth and (strike.victim is Victim.READER) == reading:
                self.left.remove(strike)
                return self._strike(strike.victim, client_port)
        return None

    def _strike(self, victim: Victim, client_port: int) -> Fault | None:
        """Returns when the victim is dead; gives what becomes of the request that was held meanwhile."""
        assert self._run is not None
        match victim:
            case Victim.READER | Victim.WRITER | Victim.HEARD_WRITER:
                worker = self._worker_behind(client_port)
                assert worker is not None, "the request is not of a worker"
                kill(worker)
                return None if victim is Victim.HEARD_WRITER else Fault.RESET
            case Victim.ACTOR:
                kill(*self._place.nodes.scoring_actors()[:1])
            case Victim.NODE:
                kill_node(self._place.nodes.scoring[0])
                self._repairs.put(self._place.nodes.replace_dead)
            case Victim.SERVER:
                self._place.kill_server()
                self._repairs.put(self._place.restart_server)
            case Victim.DRIVER:
                kill(self._run.pid)
            case Victim.STORE:
                self._proxy.rules.extend(FAULTS_OF_A_BAD_STORE)
            case Victim.OUTAGE:
                self._outage = True
                return Fault.RESET
        return None

    def _worker_behind(self, client_port: int) -> int | None:
        """The worker that has sent a request; None if it was the driver."""
        return process_behind(client_port, self._proxy.server.server_port, self._place.nodes.workers())


def _end_of(run: subprocess.Popen[str]) -> str:
    """What a run says of errors until it ends. Raises TimeoutExpired, and kills it, if it does not."""
    try:
        _, errors = run.communicate(timeout=RUN_S)
        return errors
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            run.communicate()
