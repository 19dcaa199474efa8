"""`rayton serve` hears each request to stop."""

from __future__ import annotations

import subprocess
import sys

WHILE_DESTROYED = """
import os, signal
from triton_models import serving

class Destroyed:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        print("destroyed")

signal.signal(signal.SIGTERM, serving.stop)
Destroyed()
print("goes on")
try:
    serving._waited(None)
except serving.StopRequested:
    print("stops")
"""

WHILE_NOT_INTERRUPTED = """
import os, signal, subprocess, sys, threading
from pathlib import Path
from triton_models import serving
from triton_models.server.process import NodeServer

server = NodeServer(None, "any", subprocess.Popen(["sleep", "60"]))
main = Path(f"/proc/self/task/{os.getpid()}/stat")

def signal_to_another_thread():
    while main.read_text().rpartition(")")[2].split()[0] != "S":
        pass
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

signal.signal(signal.SIGTERM, serving.stop)
sys.setswitchinterval(1e-4)
threading.Thread(target=signal_to_another_thread).start()
try:
    serving._waited(server)
except serving.StopRequested:
    print("stops")
finally:
    server.keeper.kill()
    server.keeper.wait()
"""


def test_a_signal_that_comes_while_an_object_is_destroyed_stops_the_server_too() -> None:
    done = _run(WHILE_DESTROYED)
    assert "StopRequested" in done.stderr, "Python has not dropped it"
    assert done.stdout.split("\n") == ["goes on", "stops", ""]


def test_so_does_one_that_does_not_interrupt_the_wait() -> None:
    # As one does that comes when Python has looked for signals and has not begun to wait yet.
    assert _run(WHILE_NOT_INTERRUPTED).stdout == "stops\n"


def _run(words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True, timeout=30)
