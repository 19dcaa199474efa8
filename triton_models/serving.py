"""A server of `rayton serve` from the moment that it is ready to the request to stop it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from triton_models.errors import ServerError
from triton_models.lines import say, say_when
from triton_models.server.alive import kept_alive
from triton_models.server.last_words import last_words

if TYPE_CHECKING:
    from triton_models.server.follow import Follower
    from triton_models.server.options import ServerOptions
    from triton_models.server.process import NodeServer

LOOK_S = 1.0
"""How long a request to stop may go unnoticed."""


class StopRequested(BaseException):
    """SIGTERM or Ctrl-C. Not an Exception: no one but `serve` may catch it. `came` is whether there was one."""

    came = False


def stop(_number: int, _frame: FrameType | None) -> None:
    """For `signal.signal`."""
    StopRequested.came = True
    raise StopRequested


def serve_until_stopped(
    first: NodeServer, start: Callable[[ServerOptions], NodeServer], follower: Follower | None, refresh_s: float
) -> None:
    """Serves until somebody stops it. A server that ends by itself is started again where it was, and follows on.

    Raises ServerError if it is given up.
    """

    def served(server: NodeServer) -> None:
        with server:
            say_when(_ended(server, follower, refresh_s))

    for again in kept_alive(first, lambda: start(first.options), served, _paused):
        if again.server is None:
            why = f": {again.failure}" if again.failure else f"; its log is {first.options.log_file}"
            raise ServerError(f"the server has ended by itself {again.deaths} times and is given up{why}")
        say_when(f"ready again at {first.grpc_url}")


def _ended(server: NodeServer, follower: Follower | None, refresh_s: float) -> str:
    """Waits for the end of a server that nobody stops, and gives what is to be said of it."""
    log_file = server.options.log_file
    log_start = log_file.stat().st_size
    try:
        status = _followed(server, follower, refresh_s) if follower and refresh_s else _waited(server)
    except StopRequested:
        say(f"stopping: requests in flight have {server.options.exit_timeout_s} s to finish; once more to stop at once")
        raise
    return f"the server ended by itself: {last_words(status, log_file, log_start)}; its log is {log_file}"


def _paused(seconds: float) -> bool:
    """Waits before another start, which is always wanted: who stops the server ends the wait with StopRequested."""
    say_when(f"starting it again in {seconds:g} s")
    ends_s = time.monotonic() + seconds
    while (left_s := ends_s - time.monotonic()) > 0:
        if StopRequested.came:
            raise StopRequested
        time.sleep(min(left_s, LOOK_S))
    return False


def _followed(server: NodeServer, follower: Follower, refresh_s: float) -> int:
    """Keeps the server in step with its repository until it ends; gives its exit status."""
    while True:
        try:
            return _waited(server, refresh_s)
        except TimeoutError:
            follower.refresh(server)


def _waited(server: NodeServer, timeout_s: float | None = None) -> int:
    """The server's exit status, or the request to stop that came before. Raises TimeoutError.

    Python drops what a signal raises while an object is destroyed, and looks at one that comes at the very beginning of
    a wait when that is over: so no wait is long.
    """
    ends_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
    while True:
        if StopRequested.came:
            raise StopRequested
        left_s = ends_s - time.monotonic()
        try:
            return server.wait(min(left_s, LOOK_S))
        except TimeoutError:
            if left_s <= LOOK_S:
                raise
