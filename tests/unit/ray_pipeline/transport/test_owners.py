from __future__ import annotations

import os
import subprocess
from dataclasses import replace

import pytest

from ray_pipeline.transport.owners import Owner
from triton_models.server.keeper import identity
from triton_models.server.proc import start_of

HERE = Owner.here()


def test_a_name_tells_its_owner() -> None:
    assert Owner.of(HERE.region(7)) == HERE
    assert HERE.region(7) != HERE.region(8)


def test_the_servers_reaper_and_the_tests_find_the_pid_where_every_name_has_it() -> None:
    assert HERE.region(0).split("-")[:3] == identity(os.getpid(), "any").split("-")[:3]


@pytest.mark.parametrize(
    "name", [identity(1, "0a1b2c3d"), "rayton-1-2-shm-3", "rayton-1-2-shm-3-4-5", "somebody-else", ""]
)
def test_what_no_connection_made_has_no_owner(name: str) -> None:
    assert Owner.of(name) is None


def test_a_process_that_lives_is_not_dead() -> None:
    assert not HERE.is_dead()
    assert not Owner(HERE.namespace, os.getppid(), start_of(os.getppid()) or 0).is_dead()


def test_another_process_with_the_number_of_a_dead_one_is_not_taken_for_it() -> None:
    assert replace(HERE, started=HERE.started - 1).is_dead()


def test_nobody_of_another_namespace_is_called_dead() -> None:
    assert not Owner(HERE.namespace + 1, HERE.pid, HERE.started - 1).is_dead()


def test_a_process_that_ended_is_dead_even_before_its_parent_asks() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        owner = Owner(HERE.namespace, process.pid, start_of(process.pid) or 0)
        assert not owner.is_dead()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.read()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert owner.is_dead()
    assert owner.is_dead()
