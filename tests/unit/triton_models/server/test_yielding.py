"""Bulk that stands still while users compute: when, how long, and with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.leftovers import await_end
from triton_models.server import yielding
from triton_models.server.ports import steady_port
from triton_models.server.proc import below, listener, parents, runs
from triton_models.server.yielding import BREATH_S, LONGEST_S, LOOK_S, QUIET_LOOKS, Turn

YIELDING = """
import subprocess, sys
from triton_models.server.yielding import yielder
with yielder() as looking:
    print(looking.yield_to("localhost:" + sys.argv[2]), flush=True)
    counter = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[3]])
    sys.stdin.readline()
    counter.kill()
"""
COUNTER = """
import os, pathlib, sys, time
pathlib.Path(sys.argv[1]).with_suffix(".pid").write_text(str(os.getpid()))
with open(sys.argv[1], "w") as counted:
    while True:
        print(time.monotonic(), file=counted, flush=True)
        end = time.monotonic() + 0.01
        while time.monotonic() < end: pass
"""
USERS_SERVER = """
import socket, sys, time
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
while True:
    line = sys.stdin.readline()
    end = time.monotonic() + float(line)
    while time.monotonic() < end: pass
    print("answered", flush=True)
"""


@contextmanager
def python(code: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is gone afterwards, with all below it."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        try:
            yield process
        finally:
            family = below(process.pid, parents())
            for pid in [process.pid, *family]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@dataclass
class Users:
    """A server that computes when it is told to."""

    process: subprocess.Popen[str]
    port: str

    def compute(self, seconds: float) -> None:
        """Lets it compute, and goes on at once."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seconds}\n")

    def await_answer(self) -> None:
        """Waits until it has computed."""
        assert self.process.stdout is not None
        self.process.stdout.readline()


@pytest.fixture
def users() -> Iterator[Users]:
    with python(USERS_SERVER) as process:
        assert process.stdout is not None
        yield Users(process, process.stdout.readline().strip())


@dataclass
class Bulk:
    """A process that yields, and one below it that adds the time to a file each 10 ms."""

    process: subprocess.Popen[str]
    counted: Path

    def moments(self) -> list[float]:
        return [float(line) for line in self.counted.read_text().splitlines()]

    def goes_on(self) -> bool:
        """Whether it counts within a second."""
        before = self.counted.stat().st_size
        time.sleep(1.0)
        return self.counted.stat().st_size > before

    @property
    def looks(self) -> int:
        """The pid of the process that looks."""
        (pid,) = [pid for pid in below(self.process.pid, parents()) if runs(pid, yielding.__file__)]
        return pid


@pytest.fixture
def bulk(users: Users, tmp_path: Path) -> Iterator[Bulk]:
    counted = tmp_path / "counted"
    with python(YIELDING, COUNTER, users.port, str(counted)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "None\n"
        users.compute(0.3)  # tells which threads compute
        users.await_answer()
        time.sleep(1.5)
        yield Bulk(process, counted)


def test_it_stands_still_from_the_first_look_that_sees_users_to_the_second_that_does_not() -> None:
    turn = Turn()
    sees = [False, True, True, False, True, False, False, False]
    assert [turn.look(LOOK_S * place, one) for place, one in enumerate(sees)] == [
        False,
        True,
        True,
        True,
        True,
        True,
        False,
        False,
    ]


@given(st.lists(st.tuples(st.floats(LOOK_S, 0.05), st.booleans()), min_size=1, max_size=400))
def test_it_never_stands_still_for_long_and_then_runs_for_a_breath(looks: list[tuple[float, bool]]) -> None:
    turn, now_s, held_since_s, free_since_s = Turn(), 0.0, None, None
    for gap_s, users_compute in looks:
        now_s += gap_s
        was_held, is_held = turn.is_held, turn.look(now_s, users_compute)
        if is_held and not was_held:
            assert users_compute
            assert free_since_s is None or now_s - free_since_s >= BREATH_S
            held_since_s = now_s
        if was_held and held_since_s is not None:
            assert now_s - held_since_s < LONGEST_S or not is_held
            free_since_s = now_s if not is_held and now_s - held_since_s >= LONGEST_S and users_compute else None


def test_users_who_never_pause_leave_a_breath_after_each_longest_hold() -> None:
    turn = Turn()
    held = [turn.look(LOOK_S * place, True) for place in range(5000)]
    assert sum(held) / len(held) == pytest.approx(LONGEST_S / (LONGEST_S + BREATH_S), abs=0.02)


def test_quiet_looks_are_in_a_row() -> None:
    turn = Turn()
    turn.look(0.0, True)
    for place in range(100):
        assert turn.look(LOOK_S * (place + 1), place % QUIET_LOOKS == 0)


def test_a_listener_is_found_by_its_port(users: Users) -> None:
    assert listener(int(users.port)) == users.process.pid
    users.process.kill()
    users.process.wait()
    assert listener(int(users.port)) is None


def test_bulk_stands_still_while_users_are_served_and_not_longer(users: Users, bulk: Bulk) -> None:
    served = []
    for _ in range(5):
        began_s = time.monotonic()
        users.compute(0.2)
        users.await_answer()
        served.append((began_s, time.monotonic()))
        time.sleep(0.4)
    moments = bulk.moments()
    for began_s, ended_s in served:
        assert not [moment for moment in moments if began_s + 0.1 < moment < ended_s - 0.02]
        assert len([moment for moment in moments if ended_s + 0.1 < moment < ended_s + 0.4]) >= 5


def test_bulk_breathes_while_users_never_pause(users: Users, bulk: Bulk) -> None:
    began_s = time.monotonic()
    users.compute(3.0)
    users.await_answer()
    moments = [began_s, *(moment for moment in bulk.moments() if began_s < moment), time.monotonic()]
    assert max(later - earlier for earlier, later in pairwise(moments)) < LONGEST_S + 0.2


def test_bulk_goes_on_without_the_one_who_looks(users: Users, bulk: Bulk) -> None:
    users.compute(30.0)
    time.sleep(0.1)
    os.kill(bulk.looks, signal.SIGKILL)
    assert bulk.goes_on()
    assert sum(later - earlier > LONGEST_S / 2 for earlier, later in pairwise(bulk.moments()[-50:])) <= 1


def test_nobody_is_left_standing_when_the_owner_is_killed(users: Users, bulk: Bulk) -> None:
    looks = bulk.looks
    users.compute(30.0)
    time.sleep(0.1)
    bulk.process.kill()
    bulk.process.wait()
    assert await_end({looks}) == set()
    assert bulk.goes_on()
    os.kill(int(bulk.counted.with_suffix(".pid").read_text()), signal.SIGKILL)


def test_what_is_not_here_is_said() -> None:
    with yielding.yielder() as looking:
        assert looking.yield_to("192.0.2.1:8001") == "192.0.2.1 is another machine"
        free = steady_port()
        assert str(looking.yield_to(f"localhost:{free}")).startswith(f"no process listens on port {free} here")
