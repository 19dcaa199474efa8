"""What a server shows of itself: how many requests it has answered, and how fast it answers a single row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2, service_pb2_grpc

from ray_pipeline.sharing.messages import MessageError
from ray_pipeline.transport import wire
from ray_pipeline.transport.grpc import REQUEST_TIMEOUT_S
from triton_models.server.channel import open_aio_channel
from triton_models.server.credentials import NONE, Credentials

CANARY_TIMEOUT_S = 2.0
"""So long is a canary waited for. It is not cancelled then: a request that is cancelled at the moment of its answer may
crash older servers (`triton_models.server.releases`)."""
STATISTICS_TIMEOUT_S = 5.0
_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
]


def model_of(canary: bytes) -> str:
    """The model and version that a serialized ModelInferRequest is for. Raises MessageError if it is none."""
    try:
        request = service_pb2.ModelInferRequest.FromString(canary)
    except DecodeError as error:
        raise MessageError(f"the canary of {len(canary)} bytes is no ModelInferRequest: {error}") from error
    if not request.model_name:
        raise MessageError("the canary names no model")
    return f"{request.model_name}/{request.model_version}"


class Signals:
    """A channel to one server, to be used within one event loop."""

    def __init__(self, address: str, credentials: Credentials = NONE) -> None:
        self._address = address
        self._channel = open_aio_channel(address, credentials, _OPTIONS)
        self._statistics = service_pb2_grpc.GRPCInferenceServiceStub(self._channel).ModelStatistics
        self._infer = self._channel.unary_unary(wire.METHOD)  # bytes in, bytes out
        self._troubles: dict[str, str] = {}
        self._canary: asyncio.Task[float | None] | None = None

    @property
    def trouble(self) -> str | None:
        """What is wrong with the server, for people, by the last answers; None: nothing is."""
        return next(iter(self._troubles.values()), None)

    async def requests(self) -> int | None:
        """How many requests, of all clients for all models, have succeeded since its start; None: no answer."""
        call = self._statistics(service_pb2.ModelStatisticsRequest(), timeout=STATISTICS_TIMEOUT_S)
        told = await self._answer("statistics", call)
        return None if told is None else sum(model.inference_stats.success.count for model in told.model_stats)

    async def canary(self, request: bytes) -> float | None:
        """Seconds until the answer to a serialized ModelInferRequest; None: there was none in `CANARY_TIMEOUT_S`.

        There is one at a time: while the one before is late, it is waited for instead.
        """
        self._canary = self._canary or asyncio.create_task(self._timed(request))
        done, _ = await asyncio.wait([self._canary], timeout=CANARY_TIMEOUT_S)
        if not done:
            self._troubles["canary"] = f"the server {self._address} gave no canary in {CANARY_TIMEOUT_S:g} s"
            return None
        self._canary = None
        return done.pop().result()

    async def _timed(self, request: bytes) -> float | None:
        began_s = time.monotonic()
        answer = await self._answer("canary", self._infer(request, timeout=REQUEST_TIMEOUT_S))
        return None if answer is None else time.monotonic() - began_s

    async def close(self) -> None:
        """Gives the channel back, after a moment for what is not answered yet."""
        await self._channel.close(CANARY_TIMEOUT_S)

    async def _answer(self, what: str, call: Awaitable[Any]) -> Any:
        try:
            answer = await call
        except grpc.aio.AioRpcError as error:
            details = (error.details() or "no details").partition(";")[0]  # the rest is gRPC's own
            self._troubles[what] = f"the server {self._address} gave no {what}: {details} ({error.code().name})"
            return None
        self._troubles.pop(what, None)
        return answer
