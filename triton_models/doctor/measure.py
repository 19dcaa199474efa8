"""Single rows sent to a server at given moments, each timed from its moment."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient, InferInput, InferResult
from tritonclient.utils import InferenceServerException

PATIENCE_S = 60.0
"""A request that is not answered by then has failed, and the server is told to give it up."""
MOST_WAITING = 64
"""Requests at the server at once; when there are so many, the next ones wait, and their time runs on."""
FEW = 10
FEW_S = 3.0


@dataclass(frozen=True)
class Row:
    """A request of one row to one version of a model."""

    client: InferenceServerClient
    model: str
    version: str
    inputs: list[InferInput]


@dataclass
class Timings:
    """What became of requests: the seconds of those that were answered, and what was said of the others."""

    latencies_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def one_by_one(row: Row) -> float:
    """The median of a few requests in seconds, each sent after the answer to the one before.

    Ten of them, or fewer after three seconds. Raises InferenceServerException for the first that fails.
    """
    taken: list[float] = []
    began = time.monotonic()
    while not taken or (len(taken) < FEW and time.monotonic() - began < FEW_S):
        sent = time.monotonic()
        row.client.infer(row.model, row.inputs, model_version=row.version, client_timeout=PATIENCE_S)
        taken.append(time.monotonic() - sent)
    return statistics.median(taken)


def at_moments(row: Row, moments_s: NDArray[np.float64]) -> Timings:
    """Sends the row at each moment, whatever became of those before, and returns when all have ended.

    A latency counts from the moment, so that neither a server that stands still nor a client that is late is hidden.
    """
    timings, slots = Timings(), threading.Semaphore(MOST_WAITING)

    def settle(due: float, result: InferResult | None, error: InferenceServerException | None) -> None:
        if error is None:
            timings.latencies_s.append(time.monotonic() - due)
        else:
            timings.failures.append(error.message() or "nothing was said")
        slots.release()

    began = time.monotonic()
    for moment in moments_s.tolist():
        time.sleep(max(0.0, began + moment - time.monotonic()))
        slots.acquire()
        row.client.async_infer(
            row.model,
            row.inputs,
            partial(settle, began + moment),
            model_version=row.version,
            client_timeout=PATIENCE_S,
        )
    for _ in range(MOST_WAITING):
        slots.acquire()
    return timings
