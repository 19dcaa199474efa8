"""Online users: single rows, sent at a steady rate whatever the answers do, from a process of their own.

    python -m tests.support.load HOST:PORT MODEL REQUESTS_PER_S

Prints `ready` after the first answer, and a JSON list after the end of its standard input: for each request the moments
at which it was sent and answered, in seconds of the machine's monotonic clock, and the answer or the error.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput, InferResult

ROOT = Path(__file__).parent.parent.parent
PATIENCE_S = 60.0


@dataclass
class Asked:
    """One request; `answer` is the first element of the output `y`, None where there was an error."""

    sent: float
    answered: float = 0.0
    answer: float | None = None
    error: str | None = None


@dataclass
class Load:
    """What was asked; it is there after the `with` block of `steady_load`."""

    asked: list[Asked] = field(default_factory=list)


@contextmanager
def steady_load(grpc_url: str, model: str, requests_per_s: int) -> Iterator[Load]:
    """Sends requests while the block runs."""
    words = [sys.executable, "-m", "tests.support.load", grpc_url, model, str(requests_per_s)]
    load = Load()
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield load
        printed, _ = process.communicate(timeout=2 * PATIENCE_S)
    assert process.returncode == 0
    load.asked.extend(Asked(**one) for one in json.loads(printed))


def main(grpc_url: str, model: str, requests_per_s: int) -> None:
    """Sends until standard input ends, waits for every answer, and prints them all."""
    asked: list[Asked] = []
    open_requests = threading.Semaphore(0)
    ended = threading.Event()
    threading.Thread(target=_await_end, args=(ended,), daemon=True).start()
    with InferenceServerClient(grpc_url) as client:
        client.infer(model, [_row()])
        print("ready", flush=True)
        start = time.monotonic()
        while not ended.wait(max(0.0, start + len(asked) / requests_per_s - time.monotonic())):
            asked.append(_send(client, model, open_requests))
        asked.append(_send(client, model, open_requests))  # one that was surely sent after the last change
        for _ in asked:
            assert open_requests.acquire(timeout=PATIENCE_S), "a request was never answered"
    print(json.dumps([asdict(one) for one in asked]))


def _await_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def _send(client: InferenceServerClient, model: str, answered: threading.Semaphore) -> Asked:
    one = Asked(sent=time.monotonic())

    def settle(result: InferResult | None, error: Exception | None) -> None:
        one.answered = time.monotonic()
        if result is None:
            one.error = str(error)
        else:
            one.answer = float(result.as_numpy("y").flat[0])
        answered.release()

    client.async_infer(model, [_row()], settle)
    return one


def _row() -> InferInput:
    return InferInput("x", (1, 1), "FP32").set_data_from_numpy(np.zeros((1, 1), np.float32))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
