"""Whose shared memory is whose: a region's name says which process made it, and so whether anyone still uses it.

rayton-<PID namespace>-<pid>-shm-<start of the process>-<number>
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from triton_models.server.keeper import identity, pid_namespace
from triton_models.server.proc import start_of

_NAME = re.compile(r"rayton-(\d+)-(\d+)-shm-(\d+)-\d+")


@dataclass(frozen=True)
class Owner:
    """A process: its PID namespace, its number there and when it started, in clock ticks after the machine did.

    Numbers of processes are used again, but not with the same start.
    """

    namespace: int
    pid: int
    started: int

    @classmethod
    def here(cls) -> Owner:
        """This process."""
        return cls(pid_namespace(), os.getpid(), start_of(os.getpid()) or 0)

    @classmethod
    def of(cls, region: str) -> Owner | None:
        """The maker of a region; None if that is not one of ours."""
        found = _NAME.fullmatch(region)
        return cls(*map(int, found.groups())) if found else None

    def region(self, number: int) -> str:
        """The name of this process's region with that number."""
        return identity(self.pid, f"shm-{self.started}-{number}")

    def is_dead(self) -> bool:
        """Whether the process is known to be gone; nobody can say so of another PID namespace."""
        return self.namespace == pid_namespace() and start_of(self.pid) != self.started
