"""A job that steps back: its processes run when those of other sessions do not want to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from triton_models.server.keeper import AUTOGROUP, set_autogroup, step_back

BEHIND = 10
"""The niceness of a job's session among all: about a tenth of a processor that another one wants too. Ray gives up on
starting where it gets a hundredth, as beside a server that another job keeps busy."""


@contextmanager
def stepped_back() -> Iterator[None]:
    """Lets this process, and all that is started in the block, run only when nobody else wants to.

    Where the kernel groups processes by session (Linux's autogroup) it shares the processors among sessions first, and
    niceness counts only within one: Ray's workers, nice as they are, would take their share beside a server of online
    users. So the session steps back too, until the end of the block; the process stays as it is. A server in the
    background that is started meanwhile takes its session further back still. In containers and services the weights
    of control groups decide besides.
    """
    before = int(AUTOGROUP.read_text().split()[-1]) if AUTOGROUP.exists() else None
    step_back(BEHIND)
    try:
        yield
    finally:
        if before is not None:
            set_autogroup(before)
