"""The `rayton` command as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def start_rayton(home: Path, *words: str) -> subprocess.Popen[str]:
    """Starts a command in a process group of its own, with `home` as RAYTON_HOME."""
    return subprocess.Popen(
        [sys.executable, "-m", "rayton", *words],
        cwd=ROOT,
        env=os.environ | {"RAYTON_HOME": str(home), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run_rayton(home: Path, *words: str, timeout_s: float = 300.0) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, whatever that is."""
    with start_rayton(home, *words) as process:
        printed, errors = process.communicate(timeout=timeout_s)
        return subprocess.CompletedProcess(process.args, process.returncode, printed, errors)
