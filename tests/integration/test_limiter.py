"""The limiter of a node with a real server: who dies, who comes back, whose turn it is."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from ray_pipeline.errors import FatalError
from ray_pipeline.sharing.connection import log_file_of, socket_name
from ray_pipeline.sharing.holder import Holder
from ray_pipeline.sharing.limit import UNLIMITED, Bound
from ray_pipeline.sharing.listener import NoListener
from ray_pipeline.sharing.messages import Take, encoded
from ray_pipeline.sharing.permits import PermitError
from tests.support.holding import holding
from tests.support.leftovers import PATIENCE_S, await_end
from tests.support.limiters import await_limit, await_others, counts, hello, limiters, slow_server, waiting
from tests.support.load import steady_load
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime

LOOSE = Bound(0.95, max_slowdown=20.0)
"""One batch at a time while anybody is online."""

NewHolder = Callable[..., Holder]


@pytest.fixture(scope="module")
def server(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeServer]:
    """A server with one small model."""
    repository = tmp_path_factory.mktemp("sharing") / "models"
    with slow_server(runtime, repository, rounds=1000) as found:
        yield found


@pytest.fixture(scope="module")
def rayton_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the limiter writes its log."""
    return tmp_path_factory.mktemp("rayton")


@pytest.fixture
def new_holder(server: NodeServer, rayton_home: Path, pool: ThreadPoolExecutor) -> Iterator[NewHolder]:
    """Makes holders of permits for the server, and closes them, before the threads end that wait for permits."""
    with ExitStack() as open_holders:

        def new(job: str = "job") -> Holder:
            return open_holders.enter_context(closing(Holder(server.grpc_url, hello(job), rayton_home, NoListener())))

        yield new


def test_the_canary_reaches_the_server_and_permits_are_unlimited_while_nobody_is_online(
    server: NodeServer, new_holder: NewHolder, pool: ThreadPoolExecutor
) -> None:
    before, _ = counts(server)
    holder = new_holder()
    permit = waiting(pool, holder).result(PATIENCE_S)
    assert counts(server)[0] - before >= 10
    assert holder.limit.in_flight == UNLIMITED
    permit.give(0.01, "success")
    with pytest.raises(PermitError, match="given back twice"):
        permit.give(0.01, "success")


def test_jobs_take_turns_here_and_not_in_the_servers_queue_while_nobody_is_online(
    server: NodeServer, rayton_home: Path
) -> None:
    three, one = hello("three", weight=3.0), hello("one")
    with (
        holding(server.grpc_url, rayton_home, three, 0.02, takers=4) as first,
        holding(server.grpc_url, rayton_home, one, 0.02, takers=4) as second,
    ):
        begin_s = max(first.await_permit(), second.await_permit())
        first.await_permit(begin_s + 4.0)
        counts = [len(job.between(begin_s, begin_s + 4.0)) for job in (first, second)]
    assert counts[0] / counts[1] == pytest.approx(3.0, rel=0.15), counts


def test_all_holders_of_an_address_find_the_same_limiter_and_it_ends_after_the_last(
    server: NodeServer, new_holder: NewHolder, pool: ThreadPoolExecutor
) -> None:
    begun = [pool.submit(new_holder, f"job {number}") for number in range(4)]
    holders = [one.result(PATIENCE_S) for one in begun]
    (limiter,) = limiters(server.grpc_url)
    assert f"PPid:\t{os.getpid()}\n" not in Path(f"/proc/{limiter}/status").read_text()
    assert os.getsid(limiter) != os.getsid(0), "Ctrl-C in a terminal would reach it"
    for holder in holders:
        holder.close()
    assert await_end({limiter}) == set()


def test_a_limiter_outlives_the_process_that_started_it(
    server: NodeServer, rayton_home: Path, new_holder: NewHolder, pool: ThreadPoolExecutor
) -> None:
    await_end(limiters(server.grpc_url))
    with holding(server.grpc_url, rayton_home, hello("first"), batch_s=0.01) as first:
        first.await_permit()
        (limiter,) = limiters(server.grpc_url)
        second = new_holder("second")
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
        waiting(pool, second).result(PATIENCE_S)
    assert limiters(server.grpc_url) == {limiter}


def test_permits_of_a_killed_holder_come_back(
    server: NodeServer, rayton_home: Path, new_holder: NewHolder, pool: ThreadPoolExecutor
) -> None:
    ours = new_holder()
    ours.steer(paused=False, most_in_flight=1)
    with holding(server.grpc_url, rayton_home, hello(), batch_s=1000.0) as other:
        other.await_permit()
        permit = waiting(pool, ours)
        with pytest.raises(TimeoutError):
            permit.result(0.3)
        os.kill(other.process.pid, signal.SIGKILL)
        permit.result(PATIENCE_S)


def test_after_the_limiters_death_another_one_counts_what_is_in_flight(
    server: NodeServer, rayton_home: Path, new_holder: NewHolder, pool: ThreadPoolExecutor
) -> None:
    holder = new_holder()
    holder.steer(paused=False, most_in_flight=1)
    first, second = waiting(pool, holder).result(PATIENCE_S), waiting(pool, holder)
    (killed,) = limiters(server.grpc_url)
    os.kill(killed, signal.SIGKILL)
    (limiter,) = await_others(server.grpc_url, killed)
    await_limit(holder)
    with pytest.raises(TimeoutError):
        second.result(0.3)
    first.give(0.5, "success")
    second.result(PATIENCE_S).give(0.01, "success")
    waiting(pool, holder).result(PATIENCE_S)
    assert limiters(server.grpc_url) == {limiter}
    assert '"held": 1}' in log_file_of(server.grpc_url, rayton_home).read_text()


def test_a_pause_by_hand_survives_the_limiter(
    server: NodeServer, new_holder: NewHolder, pool: ThreadPoolExecutor
) -> None:
    holder = new_holder()
    waiting(pool, holder).result(PATIENCE_S).give(0.01, "success")
    holder.steer(paused=True)
    (killed,) = limiters(server.grpc_url)
    os.kill(killed, signal.SIGKILL)
    await_others(server.grpc_url, killed)
    permit = waiting(pool, holder)
    with pytest.raises(TimeoutError):
        permit.result(2.0)
    assert holder.limit.cause == "paused by hand"
    holder.steer(paused=False)
    permit.result(PATIENCE_S)


@pytest.mark.parametrize("takers", [1, 2])
def test_two_jobs_share_by_weight_what_users_leave(server: NodeServer, rayton_home: Path, takers: int) -> None:
    """Also where each job asks for a permit only after it has given back the one before."""
    three, one = (replace(hello(job, weight), bound=LOOSE) for job, weight in (("three", 3.0), ("one", 1.0)))
    with (
        steady_load(server.grpc_url, "slow", requests_per_s=10),
        holding(server.grpc_url, rayton_home, three, 0.02, takers) as first,
        holding(server.grpc_url, rayton_home, one, 0.02, takers) as second,
    ):
        begin_s = max(first.await_permit(), second.await_permit())
        first.await_permit(begin_s + 4.0)
        counts = [len(job.between(begin_s, begin_s + 4.0)) for job in (first, second)]
    assert counts[0] / counts[1] == pytest.approx(3.0, rel=0.15), counts
    assert sum(counts) <= 4.0 / 0.02 * 1.05, f"{counts}: more than one batch at a time beside users"
    assert sum(counts) >= 4.0 / 0.02 * 0.5, counts


def test_a_higher_priority_makes_others_yield_within_a_second_and_they_resume(
    server: NodeServer, rayton_home: Path
) -> None:
    low, high = hello("low", weight=9.0), hello("high", priority=1)
    with holding(server.grpc_url, rayton_home, low, 0.02, takers=UNLIMITED) as lower:
        lower.await_permit()
        with holding(server.grpc_url, rayton_home, high, 0.02, takers=2) as higher:
            began_s = higher.await_permit()
            ended_s = higher.await_permit(began_s + 2.0)
            assert lower.between(began_s + 0.1, ended_s) == []
        lower.await_permit(ended_s)
        assert lower.between(ended_s, ended_s + 1.0) != []


def test_who_says_what_makes_no_sense_loses_its_connection_and_nobody_else(
    server: NodeServer, rayton_home: Path, new_holder: NewHolder, pool: ThreadPoolExecutor
) -> None:
    holder = new_holder()
    for said in (b"what?\n", encoded(Take(1, 0.1)), encoded(replace(hello(), canary=b"\xff"))):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(socket_name(server.grpc_url))
            stranger.sendall(said)
            assert stranger.recv(1) == b""
    waiting(pool, holder).result(PATIENCE_S)
    log = log_file_of(server.grpc_url, rayton_home).read_text()
    for told in ("not a line of JSON", "introduced themselves", "the canary of 1 bytes is no ModelInferRequest"):
        assert told in log


def test_who_waits_for_a_permit_is_woken_when_its_holder_is_closed(
    new_holder: NewHolder, pool: ThreadPoolExecutor
) -> None:
    holder = new_holder()
    holder.steer(paused=True)
    permit = waiting(pool, holder)
    holder.close()
    with pytest.raises(FatalError, match="was closed"):
        permit.result(PATIENCE_S)
    with pytest.raises(FatalError, match="was closed"):
        holder.take(0.1)


def test_a_second_limiter_of_an_address_goes_quietly(server: NodeServer, new_holder: NewHolder, tmp_path: Path) -> None:
    new_holder()
    words = ["-m", "ray_pipeline.sharing.limiter", server.grpc_url, str(tmp_path / "log"), "1"]
    done = subprocess.run([sys.executable, *words], capture_output=True, timeout=PATIENCE_S, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
    assert not (tmp_path / "log").exists()
    assert len(limiters(server.grpc_url)) == 1
