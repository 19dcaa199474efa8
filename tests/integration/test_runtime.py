"""The embedded server's environment is made once, whoever asks for it and whatever interrupts it."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

from tests.support.command import run_rayton, start_rayton
from triton_models.server.runtime import MARKER, Runtime, ensure_runtime, find_runtime


def install(home: Path) -> subprocess.Popen[str]:
    """`rayton runtime install` in a process group of its own."""
    return start_rayton(home, "runtime", "install")


def test_one_installs_the_others_wait_and_a_killed_one_is_made_up_for(tmp_path: Path) -> None:
    with install(tmp_path) as killed, install_after(killed, tmp_path) as second, install(tmp_path) as third:
        os.killpg(killed.pid, signal.SIGKILL)
        folders = {process.communicate(timeout=300)[0].strip() for process in (second, third)}
    runtime = find_runtime(tmp_path)
    assert runtime is not None
    assert folders == {str(runtime.folder)}
    assert len(list(runtime.folder.glob("backends-*"))) == 1, "nothing is left to write for who starts a server from it"

    info = run_rayton(tmp_path, "runtime", "info")
    assert info.returncode == 0
    assert "nvidia-pytriton==" in info.stdout
    assert run_rayton(tmp_path, "runtime", "remove").stdout == f"removed {runtime.folder}\n"
    gone = run_rayton(tmp_path, "runtime", "info")
    assert gone.returncode == 1
    assert gone.stderr.startswith(f"error: nothing is installed in {tmp_path}")


def install_after(first: subprocess.Popen[str], home: Path) -> subprocess.Popen[str]:
    """A second installation, begun when the first is in the middle of its own."""
    assert first.stderr is not None
    for line in first.stderr:
        if line.startswith("installing"):
            break
    return install(home)


def test_an_interrupted_installation_is_not_taken_for_a_runtime(runtime: Runtime, tmp_path: Path) -> None:
    half = tmp_path / "runtimes" / runtime.folder.name
    half.mkdir(parents=True)
    (half / "venv").symlink_to(runtime.venv)
    assert find_runtime(tmp_path) is None
    (half / MARKER).write_text((runtime.folder / MARKER).read_text())
    assert find_runtime(tmp_path) == replace(runtime, folder=half)


def test_a_finished_runtime_is_found_again_without_a_word(runtime: Runtime, home: Path) -> None:
    told: list[str] = []
    assert ensure_runtime(home, told.append) == runtime
    assert told == []
