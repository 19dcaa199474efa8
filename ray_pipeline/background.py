"""A job that steps back: its processes run when those of other sessions do not want to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from triton_models.server.balancing import Balancer
from triton_models.server.keeper import LEAST, autogroup, has_stepped_back, set_autogroup, step_back

BEHIND = 10
"""The niceness of a job's session among all while no user is known to be online: about a tenth of a processor that
another one wants too. Beside a server that other jobs keep busy, Ray gives up on starting where it gets a hundredth."""


@contextmanager
def stepped_back() -> Iterator[Balancer]:
    """Lets this process, and all that is started in the block, run only when nobody else wants to.

    Gives who can balance the server of online users against all of that.

    Where the kernel groups processes by session (Linux's autogroup) it shares the processors among sessions first, and
    niceness counts only within one: Ray's workers, nice as they are, would take their share beside a server of online
    users. So the session steps back too, until the end of the block; the process stays as it is. In containers and
    services the weights of control groups decide besides.
    """
    before = autogroup()
    with closing(Balancer()) as balancing:
        step_back(BEHIND)
        try:
            yield balancing
        finally:
            if before is not None:
                set_autogroup(before)


def stand_back(*, users_online: bool) -> None:
    """Takes the session of a job that has stepped back as far back as it goes while users are online, and else so far
    that the job goes on beside what others have at the servers. Does nothing in a process that has not stepped back.
    """
    niceness = LEAST if users_online else BEHIND
    if has_stepped_back() and autogroup() not in (None, niceness):
        set_autogroup(niceness)
