"""Ports of this machine: which are free, and which are taken."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from triton_models.server.errors import PortInUseError, StartError
from triton_models.server.options import PORT_NAMES, ServerOptions

_PORTS_OF_CLIENTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST, _HIGHEST = 20_000, 65_535
"""Below them are the ports of well-known services and of Ray's workers."""


def choose_ports(options: ServerOptions) -> ServerOptions:
    """The options with a free port in place of every 0. Raises PortInUseError if a given port is taken.

    Triton would share a taken gRPC port without a word, and clients would reach the one or the other server.
    """
    chosen: dict[str, int] = {}
    with ExitStack() as sockets:  # all three at once, or a free port could be chosen twice
        for name in PORT_NAMES:
            sock = sockets.enter_context(_bound(options.address_of(name), name, getattr(options, name)))
            chosen[name] = sock.getsockname()[1]
    return replace(options, **chosen)  # type: ignore[arg-type]


def steady_port(address: str = "127.0.0.1") -> int:
    """A free port for a server that is to come back on it: one that the system gives to no client as its own.

    Such a client, looking for the server while that is away, could end up talking to itself and keep the port.
    """
    first, last = map(int, _PORTS_OF_CLIENTS.read_text().split())
    outside = [*range(_LOWEST, first), *range(last + 1, _HIGHEST + 1)] or range(_LOWEST, _HIGHEST + 1)
    while True:
        try:
            with _bound(address, "grpc_port", random.choice(outside)) as sock:
                port: int = sock.getsockname()[1]
                return port
        except PortInUseError:
            continue


def _bound(address: str, name: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise StartError(f"the address {address} is unknown to this machine: {error.strerror}") from error
    sock = socket.socket(family, kind, protocol)
    # Lets a port be used again at once after its last server, and still fails while another one listens.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(place)
    except OSError as error:
        sock.close()
        option = "--" + name.replace("_", "-")
        raise PortInUseError(
            f"{option} {port} on {address} cannot be used: {error.strerror}; "
            f"choose another one, or {option} 0 for any that is free"
        ) from error
    return sock
