"""Online users: single rows that arrive when they arrive, whatever the server does; from a process of its own.

    python -m benchmarks.online HOST:PORT MODEL --tokens 64 --users 8.5x30 --users 60x20 --seed 1

`--users RATExSECONDS` is one stretch of time; several follow one another. The gaps between arrivals are exponential, as
those of users who know nothing of each other (a Poisson process). A latency counts from the moment at which a request
was to arrive, so that a server that stands still is not hidden by a client that waits for it. Prints `begin` and the
machine's monotonic clock when it begins, and in the end JSON: the arrival of each request after that, and its latency.

Users are elsewhere: what they take to send and to receive is not the server's. Here they share its processors, and with
usual priority their process was seen to wait for one for up to 20 ms behind the server's own threads. So it has
real-time priority, with bulk and without; where it may not, it says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import grpc
import numpy as np
import typer
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from benchmarks.measure import ROOT, module
from ray_pipeline.transport import wire

PATIENCE_S = 120.0


@dataclass(frozen=True)
class Stretch:
    """Users at one rate for some time."""

    rate_per_s: float
    seconds: float

    def __str__(self) -> str:
        return f"{self.rate_per_s:g}x{self.seconds:g}"

    @classmethod
    def of(cls, words: str) -> Stretch:
        """Reads `RATExSECONDS`."""
        rate, _, seconds = words.partition("x")
        return cls(float(rate), float(seconds))


@dataclass
class Seen:
    """What the users saw; it is there after the `with` block of `users`.

    `began_s` is the machine's monotonic clock, and `arrivals_s` counts from it. `latencies_s` has NaN where a request
    failed.
    """

    began_s: float
    arrivals_s: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    latencies_s: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    errors: list[str] = field(default_factory=list)

    def between(self, start_s: float, end_s: float) -> Seen:
        """What those saw who came between two moments."""
        inside = (start_s <= self.arrivals_s) & (self.arrivals_s < end_s)
        return replace(self, arrivals_s=self.arrivals_s[inside], latencies_s=self.latencies_s[inside])

    def quantile_ms(self, quantile: float) -> float:
        """Of the latencies, in milliseconds; a request that failed took for ever."""
        return float(np.quantile(np.nan_to_num(self.latencies_s, nan=np.inf), quantile, method="higher") * 1e3)


@contextmanager
def users(url: str, model: str, tokens: int, stretches: Sequence[Stretch], seed: int) -> Iterator[Seen]:
    """Users while the block runs, and until their time is over. Raises SystemExit if they end otherwise."""
    told = [word for one in stretches for word in ("--users", one)]
    command = module("benchmarks.online", url, model, "--tokens", tokens, "--seed", seed, *told)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        begin = process.stdout.readline()
        if not begin.startswith("begin "):
            raise SystemExit(f"{' '.join(command)} did not begin")
        seen = Seen(float(begin.split()[1]))
        try:
            yield seen
            printed = process.stdout.read()
        except BaseException:
            process.terminate()  # users of a measurement that was interrupted
            raise
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    found = json.loads(printed)
    seen.arrivals_s, seen.errors = np.array(found["arrivals_s"]), found["errors"]
    seen.latencies_s = np.array(found["latencies_s"], np.float64)


def go_first() -> None:
    """Lets this process, and all threads that it will start, run as soon as they want to."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        print("users may not have real-time priority: their latencies hold their own waits too", file=sys.stderr)


def arrivals(stretches: Sequence[Stretch], seed: int) -> NDArray[np.float64]:
    """The moments at which users come, in seconds from the beginning."""
    random = np.random.default_rng(seed)
    moments, start = [], 0.0
    for one in stretches:
        gaps = random.exponential(1 / one.rate_per_s, int(one.rate_per_s * one.seconds * 2) + 100)
        inside = np.cumsum(gaps)
        moments.append(start + inside[inside < one.seconds])
        start += one.seconds
    return np.concatenate(moments)


def one_row(model: str, tokens: int, seed: int) -> bytes:
    """A request with one text of `tokens` tokens, as its client would send it."""
    return rows_of(model, 1, tokens, seed)


def rows_of(model: str, rows: int, tokens: int, seed: int) -> bytes:
    """A request with some texts of `tokens` tokens each."""
    ids = np.random.default_rng(seed).integers(1000, 20000, (rows, tokens))
    ids[:, 0], ids[:, -1] = 101, 102
    arrays = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    request = service_pb2.ModelInferRequest(model_name=model)
    for name, array in arrays.items():
        request.inputs.add(name=name, datatype="INT64", shape=array.shape)
        request.raw_input_contents.append(array.astype(np.int64).tobytes())
    request.outputs.add(name="sentence_embedding")
    return bytes(request.SerializeToString())


class Client:
    """One connection, and what came of each request."""

    def __init__(self, url: str, message: bytes) -> None:
        self._infer = grpc.insecure_channel(url).unary_unary(wire.METHOD)
        self._message = message
        self._answered = threading.Semaphore(0)
        self.errors: list[str] = []

    def alone(self) -> float:
        """The seconds of one request, waited for."""
        began = time.monotonic()
        self._infer(self._message, timeout=PATIENCE_S)
        return time.monotonic() - began

    def send(self, latencies: NDArray[np.float64], place: int, arrived: float) -> None:
        """Sends a request whose latency will be at `place`, NaN if it fails."""

        def settle(call: Any) -> None:
            if call.code() is grpc.StatusCode.OK:
                latencies[place] = time.monotonic() - arrived
            else:
                self.errors.append(f"{call.code()}: {call.details()}")
            self._answered.release()

        self._infer.future(self._message, timeout=PATIENCE_S).add_done_callback(settle)

    def await_all(self, requests: int) -> None:
        """Waits until each request is answered or has failed: all have a deadline."""
        for _ in range(requests):
            self._answered.acquire()


def main(
    url: Annotated[str, typer.Argument()],
    model: Annotated[str, typer.Argument()],
    users: Annotated[list[str], typer.Option(help="RATExSECONDS; may be repeated.")],
    tokens: Annotated[int, typer.Option(help="Tokens of each user's text.")] = 64,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Sends one user's row after the other at their moments, and prints what became of them."""
    go_first()
    moments = arrivals([Stretch.of(one) for one in users], seed)
    latencies = np.full(len(moments), np.nan)
    client = Client(url, one_row(model, tokens, seed))
    client.alone()  # the connection is made
    began = time.monotonic()
    print(f"begin {began}", flush=True)
    for place, moment in enumerate(moments):
        time.sleep(max(0.0, began + moment - time.monotonic()))
        client.send(latencies, place, began + moment)
    client.await_all(len(moments))
    told = [None if np.isnan(one) else one for one in latencies.tolist()]
    print(json.dumps({"arrivals_s": moments.tolist(), "latencies_s": told, "errors": client.errors[:5]}))


if __name__ == "__main__":
    typer.run(main)
