"""Whose shared memory is whose, and how a server steps back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from triton_models.server import keeper
from triton_models.server.health import readable_reason

SCHEDULED = Path("/proc/self/sched")

tells_of_slices = pytest.mark.skipif("se.slice" not in SCHEDULED.read_text(), reason="the kernel tells of no slices")


@pytest.fixture
def dead_pid() -> int:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def test_only_memory_of_the_dead_is_removed(dead_pid: int) -> None:
    own = keeper.SHARED_MEMORY / f"{keeper.identity(os.getpid(), 'own')}-segment"
    orphan = keeper.SHARED_MEMORY / f"{keeper.identity(dead_pid, 'orphan')}-segment"
    foreign = keeper.SHARED_MEMORY / f"{keeper.PREFIX}-1-{dead_pid}-of-another-namespace"
    segments = (own, orphan, foreign)
    try:
        for segment in segments:
            segment.touch()
        keeper.reap_orphaned_shared_memory()
        assert [segment.exists() for segment in segments] == [True, False, True]
        keeper.reap_shared_memory(keeper.identity(os.getpid(), "own"))
        assert not own.exists()
    finally:
        for segment in segments:
            segment.unlink(missing_ok=True)


def test_a_process_that_ended_is_gone_even_before_its_parent_asks() -> None:
    with subprocess.Popen(["true"]) as process:
        segment = keeper.SHARED_MEMORY / f"{keeper.identity(process.pid, 'ended')}-segment"
        segment.touch()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        keeper.reap_orphaned_shared_memory()
        assert not segment.exists()


def test_a_signal_for_a_server_that_has_just_ended_does_not_stop_the_cleaning() -> None:
    words = (
        "import os, signal, subprocess; from triton_models.server import keeper; server = subprocess.Popen(['true'])"
    )
    words += "; server_fd = os.pidfd_open(server.pid); keeper._forward(keeper.FORWARDED, server_fd); server.wait()"
    words += "; [signal.raise_signal(one) for one in keeper.FORWARDED]; print('cleaned')"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("cleaned\n", "")


@pytest.mark.skipif(not keeper.AUTOGROUP.exists(), reason="the kernel does not group processes by session")
def test_a_session_steps_back_and_forward_again() -> None:
    words = "import os; from triton_models.server.keeper import *; os.setsid(); set_autogroup(LEAST); "
    words += "print(AUTOGROUP.read_text()); set_autogroup(0); print(AUTOGROUP.read_text())"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert [line.split()[-1] for line in done.stdout.splitlines() if line] == ["19", "0"]


@tells_of_slices
def test_all_that_a_process_starts_has_its_long_slices() -> None:
    words = "import subprocess; from triton_models.server.keeper import *; take_slices(LONGEST_SLICE_NS); "
    words += f"print(subprocess.check_output(['cat', '{SCHEDULED}'], text=True))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert re.search(r"^se.slice +: +100000000$", done.stdout, re.MULTILINE)


@tells_of_slices
def test_slices_can_be_the_usual_ones_again() -> None:
    words = f"import re; from triton_models.server.keeper import *; sched = Path('{SCHEDULED}').read_text; "
    words += "print(re.findall('se.slice.*', sched())); take_slices(LONGEST_SLICE_NS); take_slices(0); "
    words += "print(re.findall('se.slice.*', sched()))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    before, after = done.stdout.splitlines()
    assert "se.slice" in before
    assert before == after


def test_who_stepped_back_may_do_so_again() -> None:
    words = "import os; from triton_models.server.keeper import *; os.setsid(); step_back(); step_back(); "
    words += "print(os.sched_getscheduler(0))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert int(done.stdout) == os.SCHED_IDLE


def test_a_reason_has_no_stack_frames() -> None:
    told = "Internal: ConfigError: unable to load model 'm', x\n\nAt:\n  /a/b.py(7): check\n"
    assert readable_reason(told) == "unable to load model 'm', x"
