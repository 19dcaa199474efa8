"""Which machine an address names, with nothing but the standard library."""

from __future__ import annotations

import socket


def is_here(host: str) -> bool:
    """Whether a host is this machine: only own addresses can be listened on."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return bool(found) and all(_is_own(family, own) for family, _, _, _, own in found)


def _is_own(family: socket.AddressFamily, address: tuple[object, ...]) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(address)
        except OSError:
            return False
    return True
