"""Ctrl-C: once a job stops in good order, twice at once. What is committed stays in either case."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from triton_models.server import keeper
from triton_models.server.proc import below, parents, runs

EXIT_STATUS = 130
"""What a shell expects of a program that Ctrl-C has ended."""

STOPPING = "stopping in good order; Ctrl-C once more stops at once"
STOPPED = "stopped; what is committed stays, and the same command goes on from there"


@contextmanager
def interruptible(say: Callable[[str], None]) -> Iterator[None]:
    """In the block, the first Ctrl-C raises KeyboardInterrupt, and then ends the program whatever else goes wrong.

    A second one ends it at once, with all processes that it has started, whatever the main thread does meanwhile.
    Nothing changes where Ctrl-C is ignored, as it is in a script's background. To be used in the main thread.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    with _watched(say) as asked:
        try:
            yield
        except BaseException:
            if not asked.is_set():
                raise
            say(STOPPED)
            _end_everything()


@contextmanager
def _watched(say: Callable[[str], None]) -> Iterator[threading.Event]:
    """Watches for Ctrl-C; the event says that there was one."""
    asked = threading.Event()
    raised = False

    def once(number: int, frame: FrameType | None) -> None:
        nonlocal raised
        if not raised:
            raised = True
            asked.set()
            raise KeyboardInterrupt

    # Python writes to it as soon as a signal comes, and calls handlers only when the main thread gets to it.
    signals, told = socket.socketpair()
    told.setblocking(False)
    watching = threading.Thread(target=_watch, args=(signals, say), daemon=True)
    watching.start()
    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, once)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.set_wakeup_fd(before)
        told.close()
        watching.join()
        signals.close()


def _watch(signals: socket.socket, say: Callable[[str], None]) -> None:
    asked = 0
    while numbers := signals.recv(16):
        for _ in range(numbers.count(signal.SIGINT)):
            asked += 1
            if asked == 1:
                say(STOPPING)
            else:
                _stop_at_once()


def _stop_at_once() -> NoReturn:
    with suppress(OSError):
        os.write(sys.stdout.fileno(), f"{STOPPED}\n".encode())  # who prints may hold a lock
    _end_everything()


def _end_everything() -> NoReturn:
    """Not by way of the interpreter's end, where Ray's own hooks may wait, or raise what nobody wants to read."""
    for pid in _below(os.getpid()):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os._exit(EXIT_STATUS)


def _below(pid: int) -> list[int]:
    """All processes below one, parents before their children.

    A server's keeper is left out with all below it: it ends by itself without its owner, and cleans up.
    """
    above = parents()
    keepers = {child for child in below(pid, above) if runs(child, keeper.__file__)}
    return below(pid, {child: parent for child, parent in above.items() if child not in keepers})
