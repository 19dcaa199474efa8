"""Ways to a server's gRPC: every connection of Rayton is opened here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import grpc
import grpc.aio
from tritonclient.grpc import InferenceServerClient, InferenceServerClientPlugin

from triton_models.server.certificates import client_context
from triton_models.server.control_key import GRPC_HEADER, read_control_key
from triton_models.server.credentials import NONE, Credentials

Options = Sequence[tuple[str, Any]]
_ANY_LENGTH: Options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


def open_channel(address: str, credentials: Credentials = NONE, options: Options = ()) -> grpc.Channel:
    """A channel to HOST:PORT. Raises CredentialsError for files that are of no use."""
    if not credentials.uses_tls:
        return grpc.insecure_channel(address, options=options)
    return grpc.secure_channel(address, _tls(credentials), options=[*options, *_name(credentials)])


def open_aio_channel(address: str, credentials: Credentials = NONE, options: Options = ()) -> grpc.aio.Channel:
    """The same within an event loop."""
    if not credentials.uses_tls:
        return grpc.aio.insecure_channel(address, options=options)
    return grpc.aio.secure_channel(address, _tls(credentials), options=[*options, *_name(credentials)])


def open_client(address: str, credentials: Credentials = NONE, options: Options = _ANY_LENGTH) -> InferenceServerClient:
    """A client for HOST:PORT that shows its control key, if it has one, with all that it asks.

    Raises CredentialsError.
    """
    tls = _tls(credentials) if credentials.uses_tls else None
    client = InferenceServerClient(address, creds=tls, channel_args=[*options, *_name(credentials)])
    if credentials.control_key_file is not None:
        client.register_plugin(_ShowsKey(read_control_key(credentials.control_key_file)))
    return client


def with_control_key(channel: grpc.Channel, credentials: Credentials) -> grpc.Channel:
    """The same channel for calls that a server may have restricted. Raises CredentialsError."""
    if credentials.control_key_file is None:
        return channel
    return grpc.intercept_channel(channel, _AddsKey(read_control_key(credentials.control_key_file)))


def _tls(credentials: Credentials) -> grpc.ChannelCredentials:
    client_context(credentials)  # tells what is wrong with the files; gRPC would only fail to connect
    ca, key, cert = (
        path and path.expanduser().read_bytes() for path in (credentials.ca, credentials.key, credentials.cert)
    )
    return grpc.ssl_channel_credentials(ca, key, cert)


def _name(credentials: Credentials) -> Options:
    return [("grpc.ssl_target_name_override", credentials.server_name)] if credentials.server_name else []


class _ShowsKey(InferenceServerClientPlugin):  # type: ignore[misc]  # tritonclient ships no types
    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: Any) -> None:
        request.headers = {**(request.headers or {}), GRPC_HEADER: self._key}


class _Call(NamedTuple):
    """What an interceptor hands on (grpc.ClientCallDetails)."""

    method: str
    timeout: float | None
    metadata: Sequence[tuple[str, str]]
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class _AddsKey(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]  # grpc ships no types
    def __init__(self, key: str) -> None:
        self._key = key

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        """Sends a call on with the key."""
        metadata = [*(details.metadata or ()), (GRPC_HEADER, self._key)]
        call = _Call(
            details.method,
            details.timeout,
            metadata,
            details.credentials,
            details.wait_for_ready,
            details.compression,
        )
        return continuation(call, request)
