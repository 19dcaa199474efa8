"""The embedded server's environment is made once, whoever asks for it and whatever interrupts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from triton_models.server.runtime import find_runtime

ROOT = Path(__file__).parent.parent.parent


def install(home: Path) -> subprocess.Popen[str]:
    """`rayton runtime install` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "rayton", "runtime", "install"],
        cwd=ROOT,
        env=os.environ | {"RAYTON_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_one_installs_the_others_wait_and_a_killed_one_is_made_up_for(tmp_path: Path) -> None:
    with install(tmp_path) as killed, install_after(killed, tmp_path) as second, install(tmp_path) as third:
        os.killpg(killed.pid, signal.SIGKILL)
        folders = {process.communicate(timeout=300)[0].strip() for process in (second, third)}
    runtime = find_runtime(tmp_path)
    assert runtime is not None
    assert folders == {str(runtime.folder)}

    info = rayton(tmp_path, "info")
    assert info.returncode == 0
    assert "nvidia-pytriton==" in info.stdout
    assert rayton(tmp_path, "remove").stdout == f"removed {runtime.folder}\n"
    gone = rayton(tmp_path, "info")
    assert gone.returncode == 1
    assert gone.stderr.startswith(f"error: nothing is installed in {tmp_path}")


def install_after(first: subprocess.Popen[str], home: Path) -> subprocess.Popen[str]:
    """A second installation, begun when the first is in the middle of its own."""
    assert first.stderr is not None
    for line in first.stderr:
        if line.startswith("installing"):
            break
    return install(home)


def rayton(home: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rayton", "runtime", command],
        cwd=ROOT,
        env=os.environ | {"RAYTON_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
