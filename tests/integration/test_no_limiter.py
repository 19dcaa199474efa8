"""Limiters that cannot be had, that die of something, or that have no server."""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from ray_pipeline.errors import FatalError, ServerAwayError
from ray_pipeline.sharing.connection import log_file_of
from ray_pipeline.sharing.holder import Holder
from ray_pipeline.sharing.listener import NoListener
from tests.support.leftovers import PATIENCE_S, await_end
from tests.support.limiters import await_limit, hello, limiters, waiting


def test_a_limiter_that_cannot_be_started_is_an_error_that_helps(
    free_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"127.0.0.1:{free_port}"
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(FatalError) as raised:
        Holder(address, hello(), tmp_path, NoListener(), patience_s=0.5)
    for told in (address, "did not start (exit status 1)", "tried for 0.5 s", str(log_file_of(address, tmp_path))):
        assert told in str(raised.value)
    (tmp_path / "file").touch()
    with pytest.raises(FatalError, match="cannot be written: Not a directory; set RAYTON_HOME"):
        Holder(address, hello(), tmp_path / "file", NoListener())


def test_who_waits_hears_that_no_limiter_can_be_started_any_more(
    free_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pool: ThreadPoolExecutor
) -> None:
    address = f"127.0.0.1:{free_port}"
    with (
        closing(Holder(address, hello(), tmp_path, NoListener())),  # it has the patience that a first start needs
        closing(Holder(address, hello(), tmp_path, NoListener(), patience_s=0.5)) as holder,
    ):
        permit = waiting(pool, holder)
        monkeypatch.setattr(sys, "executable", "/bin/false")
        for limiter in limiters(address):
            os.kill(limiter, signal.SIGKILL)
        with pytest.raises(FatalError, match="did not start"):
            permit.result(PATIENCE_S)


def test_who_waits_looks_after_the_server_unless_it_is_paused_by_hand(
    free_port: int, tmp_path: Path, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray_pipeline.sharing.holder.LOOK_EVERY_S", 0.05)
    looked = threading.Event()

    def look() -> None:
        looked.set()
        raise ServerAwayError("nobody is there")

    with closing(Holder(f"127.0.0.1:{free_port}", hello(), tmp_path, NoListener())) as holder:
        holder.steer(paused=True)
        paused = pool.submit(holder.take, 0.1, look)
        assert not looked.wait(0.5)
        holder.steer(paused=False)
        with pytest.raises(ServerAwayError, match="nobody is there"):
            paused.result(PATIENCE_S)


def test_a_limiter_that_dies_again_and_again_is_an_error(
    free_port: int, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    address = f"127.0.0.1:{free_port}"
    with closing(Holder(address, hello(), tmp_path, NoListener())) as holder:
        permit = waiting(pool, holder)
        while not permit.done():
            await_limit(holder)  # one that is killed before it has answered has not started
            found = limiters(address)
            for limiter in found:
                os.kill(limiter, signal.SIGKILL)
            await_end(found)
        with pytest.raises(FatalError, match="died 5 times in a row; its log is"):
            permit.result()


def test_a_holder_is_closed_while_it_looks_for_another_limiter(free_port: int, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port}"
    holder = Holder(address, hello(), tmp_path, NoListener())
    (limiter,) = limiters(address)
    os.kill(limiter, signal.SIGKILL)
    await_end({limiter})
    holder.close()
    with pytest.raises(FatalError, match="was closed"):
        holder.take(0.1)


def test_a_server_that_is_away_is_in_the_cause(free_port: int, tmp_path: Path) -> None:
    with closing(Holder(f"127.0.0.1:{free_port}", hello(), tmp_path, NoListener())) as holder:
        await_limit(holder, "UNAVAILABLE")
        assert holder.limit.in_flight == 0
        assert f"the server 127.0.0.1:{free_port} gave no" in holder.limit.cause
