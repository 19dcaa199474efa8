"""A job that steps back: its processes run when those of other sessions do not want to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from triton_models.server.keeper import AUTOGROUP, LEAST, set_autogroup


@contextmanager
def stepped_back() -> Iterator[None]:
    """Lets the session of this process, and all that is started in it, step back until the end of the block.

    Where the kernel groups processes by session (Linux's autogroup) it shares the processors among sessions first, and
    niceness counts only within one: Ray's workers, nice as they are, would take their share beside a server of online
    users. Elsewhere, as in containers and services, nothing is changed: there the weights of control groups decide.
    """
    if not AUTOGROUP.exists():
        yield
        return
    before = int(AUTOGROUP.read_text().split()[-1])
    set_autogroup(LEAST)
    try:
        yield
    finally:
        set_autogroup(before)
