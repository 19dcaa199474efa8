"""What every transport can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from ray_pipeline.outcome import Outcome

Tensors = dict[str, np.ndarray[Any, Any]]
TransportName = Literal["grpc", "shared_memory"]
WantedTransport = Literal["auto", "grpc", "shared_memory"]


@dataclass(frozen=True)
class Request:
    """One batch for one version of a model.

    The first axis of every tensor is the batch; strings are object arrays of `bytes`.
    """

    model: str
    version: int
    inputs: Tensors
    outputs: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        """The bytes of its tensors; those of strings without their lengths."""
        return sum(
            sum(map(len, array.flat)) if array.dtype.hasobject else array.nbytes for array in self.inputs.values()
        )


@dataclass(frozen=True)
class Queued:
    """What a server has counted of one version of a model since it was loaded: requests that were answered, and the
    seconds that all of them together waited for an instance.
    """

    requests: int
    seconds: float


class Pending(Protocol):
    """A batch in flight. `sent_s` is the moment at which it was sent, on this machine's monotonic clock."""

    sent_s: float

    def when_answered(self, call: Callable[[float, Outcome], None]) -> None:
        """Calls `call` once, with the seconds since the batch was sent and how it ended, as soon as it has: at once and
        from any thread, whether anybody waits for the result or not.
        """
        ...

    def result(self) -> Tensors:
        """Waits for the answer: the outputs asked for, the batch on their first axis.

        Raises RetryableError, RefusedError or FatalError; they say what the failure means for the rows.
        """
        ...


class Transport(Protocol):
    """A way to one node server. `address` is how people know it."""

    address: str

    def send(self, request: Request) -> Pending:
        """Puts a batch in flight without waiting for its answer."""
        ...

    def check_ready(self, timeout_s: float) -> None:
        """Returns if the server is ready to infer. Raises InferenceError."""
        ...

    def queued(self, model: str, version: int) -> Queued:
        """How long requests have waited so far. Raises InferenceError."""
        ...

    def close(self) -> None:
        """Gives the connection back."""
        ...
