"""Threads of users that share a processor: which are moved where, and real ones that are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.waiting import until
from triton_models.server.balancing import Balancer, Balancing, Computing, move, moves
from triton_models.server.ports import steady_port
from triton_models.server.proc import below, listener, parents

PROCESSORS = sorted(os.sched_getaffinity(0))

# Two processes that compute, as a server and a process of its model do.
USERS_SERVER = """
import os, socket
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
os.fork()
while True: pass
"""

# One process that waits, and one on each processor that computes when nobody else wants to.
BULK = """
import os, time
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
for processor in os.sched_getaffinity(0):
    if not os.fork():
        os.sched_setaffinity(0, {processor})
        while True: pass
time.sleep(1000)
"""

two_processors = pytest.mark.skipif(len(PROCESSORS) < 2, reason="one processor only")


@contextmanager
def python(code: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is gone afterwards, with all below it."""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            for pid in [process.pid, *below(process.pid, parents())]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@dataclass(frozen=True)
class Users:
    """A server of users that computes in two processes."""

    pids: tuple[int, int]
    port: int


@pytest.fixture
def users() -> Iterator[Users]:
    with python(USERS_SERVER) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        until(lambda: len(below(process.pid, parents())) == 1, "the server has its second process")
        (child,) = below(process.pid, parents())
        yield Users((process.pid, child), port)


def processor_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[36])


def test_a_thread_that_waits_takes_a_processor_of_bulk() -> None:
    assert moves([(11, 0), (12, 0)], [(21, 1)]) == [(12, 1)]
    assert moves([(11, 0), (12, 0), (13, 0)], [(21, 3), (22, 1)]) == [(12, 1), (13, 3)]


def test_no_thread_moves_that_has_its_processor_or_would_take_another_of_users() -> None:
    assert moves([(11, 0), (12, 1)], [(21, 2)]) == []
    assert moves([(11, 0), (12, 0)], []) == []
    assert moves([(11, 0), (12, 0), (13, 1)], [(21, 1), (22, 0)]) == []


@two_processors
def test_a_thread_that_is_moved_may_run_wherever_it_could_before(users: Users) -> None:
    pid, arrived = users.pids[1], 0
    for _ in range(10):
        there = next(processor for processor in PROCESSORS if processor != processor_of(pid))
        move(pid, there)
        arrived += processor_of(pid) == there
        assert sorted(os.sched_getaffinity(pid)) == PROCESSORS
    assert arrived > 0  # the kernel may move it on


@two_processors
def test_a_thread_stays_where_its_owner_wants_it(users: Users) -> None:
    pid, here = users.pids[1], PROCESSORS[0]
    os.sched_setaffinity(pid, {here})
    move(pid, PROCESSORS[1])
    assert os.sched_getaffinity(pid) == {here}
    assert processor_of(pid) == here


def test_what_computes_is_seen_with_its_processor(users: Users) -> None:
    computing = Computing()
    time.sleep(0.5)
    computing.survey(users.pids)
    seen = computing.running()
    assert {pid for pid, _ in seen} == set(users.pids)
    assert {processor for _, processor in seen} <= set(PROCESSORS)
    assert computing.is_busy
    computing.survey(users.pids)  # at once: nothing was computed in between
    assert not computing.is_busy
    assert {pid for pid, _ in computing.running()} == set(users.pids)
    os.kill(users.pids[1], signal.SIGKILL)
    os.kill(users.pids[0], signal.SIGKILL)
    until(lambda: computing.running() == [], "none of its threads is seen to compute")


@two_processors
def test_users_that_share_a_processor_get_one_each_beside_bulk(users: Users) -> None:
    with python(BULK) as bulk:
        until(lambda: len(below(bulk.pid, parents())) == len(PROCESSORS), "bulk has a process on each processor")
        time.sleep(0.5)
        balancing = Balancing(bulk.pid, users.port)
        balancing.look()
        for pid in users.pids:  # together on one
            os.sched_setaffinity(pid, PROCESSORS[:1])
        until(lambda: {processor_of(pid) for pid in users.pids} == {PROCESSORS[0]}, "users share one processor")
        for pid in users.pids:
            os.sched_setaffinity(pid, PROCESSORS)
        until(
            lambda: balancing.look() > 0 and len({processor_of(pid) for pid in users.pids}) == 2,
            "users have been moved to one processor each",
        )
        assert all(sorted(os.sched_getaffinity(pid)) == PROCESSORS for pid in users.pids)


def test_a_listener_is_found_by_its_port(users: Users) -> None:
    assert listener(users.port) in users.pids
    for pid in users.pids:
        os.kill(pid, signal.SIGKILL)
    until(lambda: listener(users.port) is None, "nobody listens any more")


def test_who_looks_says_what_cannot_be_seen_and_ends_with_the_block(users: Users) -> None:
    with closing(Balancer()) as balancing:
        assert balancing.balance(f"localhost:{users.port}") is None
        assert balancing.balance("192.0.2.1:8001") == "192.0.2.1 is another machine"
        free = steady_port()
        assert str(balancing.balance(f"localhost:{free}")).startswith(f"no process listens on port {free} here")
        with pytest.raises(ValueError, match="Port could not be cast"):
            balancing.balance("localhost:grpc")
        process = balancing._process
        assert process.poll() is None
    assert process.poll() == 0
