"""Which process is at the other end of a connection on loopback, and where one listens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

LISTENS = "0A"


def process_behind(client_port: int, server_port: int, among: Iterable[int]) -> int | None:
    """The process, of some, with a TCP connection from one port of this machine to another; None if none of them."""
    inode = _inode(client_port, server_port)
    return next((pid for pid in among if f"socket:[{inode}]" in _descriptors(pid)), None)


def listening(pid: int) -> set[tuple[str, int]]:
    """The addresses and ports at which a process listens; one of IPv4 reads the same in both families."""
    sockets = set(_descriptors(pid))
    lines = (line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines())
    return {_address(fields[1]) for fields in lines if fields[3] == LISTENS and f"socket:[{fields[9]}]" in sockets}


def _address(told: str) -> tuple[str, int]:
    """Of the kernel's words of 32 bits, least byte first."""
    address, _, port = told.partition(":")
    whole = b"".join(bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8))
    if len(whole) == 4:
        return str(IPv4Address(whole)), int(port, 16)
    sixth = IPv6Address(whole)
    return str(sixth.ipv4_mapped or sixth), int(port, 16)


def _inode(local_port: int, remote_port: int) -> str | None:
    wanted = f"0100007F:{local_port:04X}", f"0100007F:{remote_port:04X}"
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return next((fields[9] for fields in lines if (fields[1], fields[2]) == wanted), None)


def _descriptors(pid: int) -> Iterator[str]:
    with suppress(OSError):  # the process may be gone meanwhile, or one of its descriptors
        for descriptor in list(Path(f"/proc/{pid}/fd").iterdir()):
            with suppress(OSError):
                yield str(descriptor.readlink())
