"""Which process is at the other end of a connection on loopback."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path


def process_behind(client_port: int, server_port: int, among: Iterable[int]) -> int | None:
    """The process, of some, with a TCP connection from one port of this machine to another; None if none of them."""
    inode = _inode(client_port, server_port)
    return next((pid for pid in among if f"socket:[{inode}]" in _descriptors(pid)), None)


def _inode(local_port: int, remote_port: int) -> str | None:
    wanted = f"0100007F:{local_port:04X}", f"0100007F:{remote_port:04X}"
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return next((fields[9] for fields in lines if (fields[1], fields[2]) == wanted), None)


def _descriptors(pid: int) -> Iterator[str]:
    with suppress(OSError):  # the process may be gone meanwhile, or one of its descriptors
        for descriptor in list(Path(f"/proc/{pid}/fd").iterdir()):
            with suppress(OSError):
                yield str(descriptor.readlink())
