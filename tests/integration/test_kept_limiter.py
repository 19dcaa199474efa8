"""A limiter that a job keeps, and how far in front the limiters of jobs in the background are."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ray_pipeline.sharing.connection import log_file_of
from ray_pipeline.sharing.holder import Holder
from ray_pipeline.sharing.kept import KeptLimiter
from ray_pipeline.sharing.listener import NoListener
from tests.support.leftovers import PATIENCE_S, await_end
from tests.support.limiters import await_others, hello, limiters

CAP_SYS_NICE = 23
CAPABILITIES = int(re.findall(r"^CapEff:\s*(\w+)", Path("/proc/self/status").read_text(), re.MULTILINE)[0], 16)
MAY_STEP_FORWARD = bool(CAPABILITIES >> CAP_SYS_NICE & 1)
"""Root may in general, but not in most containers."""

WITHOUT_RIGHTS = ["setpriv", "--bounding-set=-sys_nice"] if MAY_STEP_FORWARD else []
"""In front of a command whose processes may not leave the background, as those of most users and containers."""

needs_rights = pytest.mark.skipif(not MAY_STEP_FORWARD, reason="this user may not leave the background")

STEPS_BACK = "import os, sys; from triton_models.server.keeper import step_back; step_back()"
KEEPS = """
import sys
from pathlib import Path
from ray_pipeline.background import stepped_back
from ray_pipeline.sharing.holder import Holder
from ray_pipeline.sharing.kept import KeptLimiter
from ray_pipeline.sharing.listener import NoListener
from tests.support.limiters import hello
home = Path(sys.argv[2])
kept = KeptLimiter(home)
with stepped_back():
    kept.keep(sys.argv[1])
    holder = Holder(sys.argv[1], hello(), home, NoListener())
    print("there", flush=True)
    sys.stdin.readline()
    holder.close()
kept.close()
"""


@pytest.fixture
def address(free_port: int) -> str:
    """Where no server is: its limiter is there all the same."""
    return f"127.0.0.1:{free_port}"


def test_there_is_a_limiter_as_long_as_it_is_kept_whoever_kills_it(address: str, tmp_path: Path) -> None:
    with closing(KeptLimiter(tmp_path)) as kept:
        kept.keep(address)
        (killed,) = await_others(address, 0)
        os.kill(killed, signal.SIGKILL)
        (kept_now,) = await_others(address, killed)
        with closing(Holder(address, hello(), tmp_path, NoListener())):
            assert limiters(address) == {kept_now}
    assert await_end({kept_now}) == set()


def test_who_keeps_none_leaves_none(tmp_path: Path) -> None:
    with closing(KeptLimiter(tmp_path)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_limiter_that_is_kept_is_not_in_the_background_though_the_job_is(address: str, tmp_path: Path) -> None:
    """Also where it is the holder, in the background, who asks for it first, and again after its death."""
    command = [*WITHOUT_RIGHTS, sys.executable, "-c", KEEPS, address, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "there\n"
        (killed,) = limiters(address)
        assert os.sched_getscheduler(job.pid) == os.SCHED_IDLE
        assert os.sched_getscheduler(killed) == os.SCHED_OTHER
        os.kill(killed, signal.SIGKILL)
        (limiter,) = await_others(address, killed)
        assert os.sched_getscheduler(limiter) == os.SCHED_OTHER
    assert await_end({limiter}) == set()


@needs_rights
def test_a_limiter_that_is_started_from_the_background_steps_forward(address: str, tmp_path: Path) -> None:
    (limiter,) = started_from_the_background([], address, tmp_path)
    assert os.sched_getscheduler(limiter) == os.SCHED_OTHER
    assert slice_of(limiter) == slice_of(os.getpid())
    assert await_end({limiter}) == set()
    assert '"background": false' in log_file_of(address, tmp_path).read_text()


def test_a_limiter_that_may_not_step_forward_says_so(address: str, tmp_path: Path) -> None:
    (limiter,) = started_from_the_background(WITHOUT_RIGHTS, address, tmp_path)
    assert os.sched_getscheduler(limiter) == os.SCHED_IDLE
    assert await_end({limiter}) == set()
    assert '"background": true' in log_file_of(address, tmp_path).read_text()


def started_from_the_background(front: list[str], address: str, home: Path) -> set[int]:
    """The limiters of an address after one was started."""
    log_file = log_file_of(address, home)
    log_file.parent.mkdir()
    words = ["-m", "ray_pipeline.sharing.limiter", address, str(log_file), "1"]
    starts = f"{STEPS_BACK}; os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    command = [*front, sys.executable, "-c", starts, *words]
    subprocess.run(command, start_new_session=True, timeout=PATIENCE_S, check=True)
    return limiters(address)


def slice_of(pid: int) -> list[str]:
    """What the kernel says of a process's slice, if anything."""
    return re.findall(r"^se.slice.*", Path(f"/proc/{pid}/sched").read_text(), re.MULTILINE)
