"""`rayton serve` hears each request to stop."""

from __future__ import annotations

import subprocess
import sys

WORDS = """
import os, signal
from triton_models import cli

class Destroyed:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        print("destroyed")

signal.signal(signal.SIGTERM, cli._stop)
Destroyed()
print("goes on")
try:
    cli._waited(None)
except cli.StopRequested:
    print("stops")
"""


def test_a_signal_that_comes_while_an_object_is_destroyed_stops_the_server_too() -> None:
    done = subprocess.run([sys.executable, "-c", WORDS], capture_output=True, text=True, check=True)
    assert "StopRequested" in done.stderr, "Python has not dropped it"
    assert done.stdout.split("\n") == ["goes on", "stops", ""]
