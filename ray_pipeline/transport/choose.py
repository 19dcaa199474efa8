"""Which way to a server: shared memory where server and client really share it, gRPC everywhere else."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import urlsplit

from ray_pipeline.errors import FatalError, InferenceError, RefusedError, RetryableError
from ray_pipeline.retry import waited_for
from ray_pipeline.transport.base import TransportName, WantedTransport
from ray_pipeline.transport.grpc import GrpcTransport
from ray_pipeline.transport.shared_memory import SharedMemoryTransport
from triton_models.server.address import is_here
from triton_models.server.credentials import NONE, Credentials

EXTENSION = "system_shared_memory"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """The way that requests take to a server, and why that one."""

    transport: TransportName
    why: str


def choose(address: str, wanted: WantedTransport, timeout_s: float, credentials: Credentials = NONE) -> Choice:
    """Asks the server at `address`, and tries; a server that is not there is waited for, `timeout_s` at most.

    Raises FatalError if shared memory is asked for and impossible, or if the server does not come.
    """
    if wanted == "grpc":
        return Choice("grpc", "the job file says so")
    obstacle = waited_for(lambda: _obstacle(address, timeout_s, credentials), timeout_s)
    if obstacle is None:
        return Choice("shared_memory", "the server is on this machine and opened a region that was made here")
    if wanted == "shared_memory":
        raise FatalError(
            f"server {address} cannot be reached through shared memory: {obstacle}. Change that, or write "
            '`transport = "auto"` under [triton]: gRPC is used then'
        )
    _log.warning("requests to %s go through gRPC, not through shared memory: %s", address, obstacle)
    return Choice("grpc", obstacle)


def open_transport(
    address: str, wanted: WantedTransport, timeout_s: float, credentials: Credentials = NONE
) -> GrpcTransport:
    """A connection to a server, by the way that `choose` finds. Raises FatalError as it does."""
    choice = choose(address, wanted, timeout_s, credentials)
    if choice.transport == "shared_memory":
        return SharedMemoryTransport(address, credentials=credentials)
    return GrpcTransport(address, credentials)


def _obstacle(address: str, timeout_s: float, credentials: Credentials) -> str | None:
    """What is against shared memory, None if it works. Raises RetryableError while the server is not there."""
    host = urlsplit(f"//{address}").hostname or ""
    if not is_here(host):
        return f"{host} is another machine"
    with closing(SharedMemoryTransport(address, credentials=credentials)) as transport:
        transport.check_ready(timeout_s)
        try:
            if EXTENSION not in transport.extensions(timeout_s):
                return f"the server does not offer {EXTENSION}; is it to be started with --allow-client-shm?"
            transport.check_memory()
        except RetryableError:
            raise
        except RefusedError as error:
            return f"the server says: {error}; one in a container needs this machine's /dev/shm and this user's rights"
        except InferenceError as error:
            return str(error)
        except OSError as error:
            return f"/dev/shm cannot be used here: {error.strerror}"
    return None
