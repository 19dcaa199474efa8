"""What /proc tells of processes, with nothing but the standard library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
_LISTENS = "0A"


def parents() -> dict[int, int]:
    """The parent of each process."""
    found = {}
    for status in PROC.glob("[0-9]*/stat"):
        with suppress(OSError):  # ended in the meantime
            found[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
    return found


def below(pid: int, parents: dict[int, int]) -> list[int]:
    """All processes below one, parents before their children."""
    found = [pid]
    for above in found:
        found += [child for child, parent in parents.items() if parent == above]
    return found[1:]


def start_of(pid: int) -> int | None:
    """When a process started, in clock ticks after the machine did; None if it has ended (see proc_pid_stat(5))."""
    try:
        state, *fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else int(fields[18])


def runs(pid: int, script: str) -> bool:
    """Whether a process runs a script of this path."""
    try:
        return script.encode() in (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def listener(port: int) -> int | None:
    """The process that listens on a TCP port; None if there is none to be seen.

    The processes of other users are seen by root only, those of other containers by nobody.
    """
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    for folder in PROC.glob("[0-9]*/fd") if sockets else ():
        with suppress(OSError):
            if any(str(entry.readlink()) in sockets for entry in folder.iterdir()):
                return int(folder.parent.name)
    return None


def _listening(port: int) -> Iterator[str]:
    """The inodes of the sockets that listen on a port."""
    for table in ("tcp", "tcp6"):
        with suppress(FileNotFoundError):  # a machine without IPv6
            for line in (PROC / "self/net" / table).read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == _LISTENS and int(columns[1].rpartition(":")[2], 16) == port:
                    yield columns[9]
