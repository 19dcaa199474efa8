"""Tensors inside gRPC messages: works with every server, on any node."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.grpc.model_config_pb2 import ModelConfig

from ray_pipeline.errors import FatalError, InferenceError, RefusedError, RestrictedError, RetryableError
from ray_pipeline.outcome import Outcome
from ray_pipeline.transport import wire
from ray_pipeline.transport.base import Queued, Request, Tensors
from triton_models.server import handshake
from triton_models.server.channel import open_channel, with_control_key
from triton_models.server.credentials import NONE, Credentials

REQUEST_TIMEOUT_S = 120.0
"""After so long nobody will answer a request any more."""
_ASK_S = 10.0
# What Triton says of a version that it does not have, and of one that it is loading or letting go of.
_NOT_READY = "Request for unknown model"
# How Triton's Python backend ends what it says of a process that has died, or gave no sign of life for a second.
_LOST = "is not healthy."
_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Clients with equal options would share one TCP connection with others in their process.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_reconnect_backoff_ms", 2000),
]

OUTCOMES: dict[grpc.StatusCode, type[InferenceError]] = {
    grpc.StatusCode.UNAVAILABLE: RetryableError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: RetryableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: RetryableError,
    grpc.StatusCode.ABORTED: RetryableError,
    grpc.StatusCode.CANCELLED: RetryableError,
    grpc.StatusCode.INVALID_ARGUMENT: RefusedError,
    grpc.StatusCode.OUT_OF_RANGE: RefusedError,
    grpc.StatusCode.FAILED_PRECONDITION: RefusedError,
    grpc.StatusCode.INTERNAL: RefusedError,
    grpc.StatusCode.UNKNOWN: RefusedError,
    grpc.StatusCode.DATA_LOSS: RetryableError,
    grpc.StatusCode.NOT_FOUND: FatalError,
    grpc.StatusCode.ALREADY_EXISTS: FatalError,
    grpc.StatusCode.PERMISSION_DENIED: FatalError,
    grpc.StatusCode.UNAUTHENTICATED: FatalError,
    grpc.StatusCode.UNIMPLEMENTED: FatalError,
    grpc.StatusCode.OK: FatalError,
}
"""What each status means for the rows of a request; OK as an error would be a broken server."""


def outcome_of(code: grpc.StatusCode) -> Outcome:
    """What a status says about the load of a server."""
    if code is grpc.StatusCode.OK:
        return "success"
    return "dropped" if OUTCOMES[code] is RetryableError else "ignored"


def error_of(error: grpc.RpcError, address: str) -> InferenceError:
    """Our error for a failed call."""
    code, details = error.code(), error.details() or "no details"
    outcome = OUTCOMES[code]
    if code is grpc.StatusCode.UNAVAILABLE and "protocol is restricted" in details:
        # Triton says this as if it were not there; waiting would not help.
        return RestrictedError(
            f"server {address} does this only for those who have its key ({details}); name the file with that key as "
            "control_key_file under [triton]"
        )
    if code is grpc.StatusCode.INTERNAL and details.endswith(_LOST):
        # The rows are not to blame: the server has lost the process of the model, and will hardly go on.
        outcome = RetryableError
    if outcome is RefusedError:
        return outcome(details)
    return outcome(f"server {address}: {details} ({code.name})")


def retired(address: str, model: str, version: int, states: Mapping[int, str]) -> FatalError | None:
    """The error for a version that its server has let go of, for others of the same model; None if it may come back.

    `states` is what the server's index says of each version of the model, such as `READY` or `UNLOADING`.
    """
    ready = sorted(number for number, state in states.items() if state == "READY")
    if not ready or states.get(version) in ("READY", "LOADING"):
        return None
    return FatalError(
        f"version {version} of {model!r} is no longer served by {address}; it serves {', '.join(map(str, ready))}. To "
        f"go on with version {version}, run the job again with `repository` but without `url` under [triton]: it then "
        f"starts servers of its own; or score with version {ready[-1]} into a new output folder"
    )


class GrpcTransport:
    """One channel to one server, for the life of an actor. Raises CredentialsError for files that are of no use."""

    def __init__(self, address: str, credentials: Credentials = NONE) -> None:
        self.address = address
        self._credentials = credentials
        self._channel = open_channel(address, credentials, _OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(with_control_key(self._channel, credentials))
        self._model_infer = self._channel.unary_unary(
            wire.METHOD, response_deserializer=service_pb2.ModelInferResponse.FromString
        )

    def send(self, request: Request) -> GrpcPending:
        """Puts a batch in flight."""
        sent_s = time.monotonic()
        message = wire.encoded(wire.head_of(request), list(request.inputs.values()))
        return GrpcPending(self._call_of(message), self, request, sent_s)

    def versions(self, model: str, timeout_s: float) -> list[int]:
        """The versions of a model that the server has ready, smallest first. Raises InferenceError."""
        call = service_pb2.ModelMetadataRequest(name=model)
        found = self._call(self._stub.ModelMetadata, call, timeout_s)
        return sorted(int(version) for version in found.versions)

    def config(self, model: str, version: int, timeout_s: float) -> ModelConfig:
        """The config that the server runs a version with. Raises InferenceError."""
        call = service_pb2.ModelConfigRequest(name=model, version=str(version))
        try:
            return self._stub.ModelConfig(call, timeout=timeout_s).config
        except grpc.RpcError as error:
            raise self.error_about(error, model, version) from error

    def models(self, timeout_s: float) -> list[str]:
        """The names of the models that the server has ready. Raises InferenceError, or RestrictedError if it tells them
        only to those with its key.
        """
        found = self._call(self._stub.RepositoryIndex, service_pb2.RepositoryIndexRequest(ready=True), timeout_s)
        return sorted({model.name for model in found.models})

    def check_ready(self, timeout_s: float) -> None:
        """Returns if the server is ready to infer. Raises InferenceError; FatalError if it does not let this client in,
        which gRPC does not tell from a server that is away.
        """
        try:
            answer = self._call(self._stub.ServerReady, service_pb2.ServerReadyRequest(), timeout_s)
        except RetryableError:
            if (trouble := handshake.trouble(self.address, self._credentials)) is not None:
                raise FatalError(trouble) from None
            raise
        if not answer.ready:
            raise RetryableError(f"server {self.address} is there but not ready")

    def queued(self, model: str, version: int) -> Queued:
        """How long requests have waited so far, by Triton's extension `statistics`. Raises InferenceError."""
        call = service_pb2.ModelStatisticsRequest(name=model, version=str(version))
        (found,) = self._call(self._stub.ModelStatistics, call, _ASK_S).model_stats
        queue = found.inference_stats.queue
        return Queued(queue.count, queue.ns / 1e9)

    def extensions(self, timeout_s: float) -> list[str]:
        """What the server can do beyond the protocol that all servers speak. Raises InferenceError."""
        found = self._call(self._stub.ServerMetadata, service_pb2.ServerMetadataRequest(), timeout_s)
        return sorted(found.extensions)

    def release(self, timeout_s: float) -> str:
        """The server's own version, such as `2.51.0`. Raises InferenceError."""
        return str(self._call(self._stub.ServerMetadata, service_pb2.ServerMetadataRequest(), timeout_s).version)

    def error_about(self, error: grpc.RpcError, model: str, version: int) -> InferenceError:
        """Our error for a failed call about one version; the server is asked whether it has retired that version."""
        found = error_of(error, self.address)
        if not (error.details() or "").startswith(_NOT_READY):
            return found
        try:
            index = self._call(self._stub.RepositoryIndex, service_pb2.RepositoryIndexRequest(), _ASK_S).models
        except InferenceError:
            return found
        states = {int(one.version): one.state for one in index if one.name == model and one.version}
        return retired(self.address, model, version, states) or found

    def close(self) -> None:
        """Closes the channel; batches in flight are cancelled."""
        self._channel.close()

    def _call_of(self, message: bytes) -> Any:
        return self._model_infer.future(message, timeout=REQUEST_TIMEOUT_S)

    def _call(self, method: Any, request: Any, timeout_s: float) -> Any:
        try:
            return method(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise error_of(error, self.address) from error


class GrpcPending:
    """A request in flight on a channel."""

    def __init__(self, call: Any, transport: GrpcTransport, request: Request, sent_s: float) -> None:
        self._call, self._transport, self.sent_s = call, transport, sent_s
        self._model, self._version = request.model, request.version  # and not its tensors

    def result(self) -> Tensors:
        """Waits for the answer."""
        return wire.decoded(self._answer())

    def when_answered(self, call: Callable[[float, Outcome], None]) -> None:
        """Calls from a thread of the channel."""
        self._call.add_done_callback(lambda done: call(time.monotonic() - self.sent_s, outcome_of(done.code())))

    def _answer(self) -> Any:
        try:
            return self._call.result()
        except grpc.RpcError as error:
            raise self._transport.error_about(error, self._model, self._version) from error
        except grpc.FutureCancelledError as error:
            raise RetryableError(f"server {self._transport.address}: the request was cancelled") from error
