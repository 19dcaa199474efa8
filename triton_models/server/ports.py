"""Ports of this machine: which are free, and which are taken."""

from __future__ import annotations

import secrets
import socket
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from triton_models.server.errors import PortInUseError, StartError
from triton_models.server.options import PORT_NAMES, ServerOptions

_PORTS_OF_ANYBODY = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST, _HIGHEST = 20_000, 65_535
"""Below them are the ports of well-known services and of Ray's workers."""
_DRAWS = 100
"""More of them are in vain only where the address, and not a port, cannot be had."""


def choose_ports(options: ServerOptions) -> ServerOptions:
    """The options with a steady port in place of every 0. Raises PortInUseError if a given port is taken.

    Triton would share a taken gRPC port without a word, and clients would reach the one or the other server.
    """
    chosen: dict[str, int] = {}
    with ExitStack() as sockets:  # all three at once, or a free port could be chosen twice
        for name in sorted(PORT_NAMES, key=lambda name: not getattr(options, name)):  # none draws one that is given
            address, port = options.address_of(name), getattr(options, name)
            sock = sockets.enter_context(_bound(address, name, port) if port else _bound_to_any(address, name))
            chosen[name] = sock.getsockname()[1]
    return replace(options, **chosen)  # type: ignore[arg-type]


def steady_port(address: str = "127.0.0.1") -> int:
    """A free port that the system gives to nobody who asks for any: neither before a server has started there, nor
    while it is away.

    A client that looks for the server meanwhile could else end up talking to itself and keep the port.
    """
    with _bound_to_any(address, "grpc_port") as sock:
        port: int = sock.getsockname()[1]
        return port


def _bound_to_any(address: str, name: str) -> socket.socket:
    first, last = map(int, _PORTS_OF_ANYBODY.read_text().split())
    steady = [*range(_LOWEST, first), *range(last + 1, _HIGHEST + 1)] or range(_LOWEST, _HIGHEST + 1)
    for _ in range(_DRAWS):
        try:
            return _bound(address, name, secrets.choice(steady))
        except PortInUseError as error:
            in_vain = error
    raise in_vain


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
        sock.listen()  # only who listens has a port alone: of those who do not, many may have the same
    except OSError as error:
        sock.close()
        option = "--" + name.replace("_", "-")
        raise PortInUseError(
            f"{option} {port} on {address} cannot be used: {error.strerror}; "
            f"choose another one, or {option} 0 for any that is free"
        ) from error
    return sock
