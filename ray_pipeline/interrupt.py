"""Ctrl-C and SIGTERM: once a job stops in good order, twice at once. What is committed stays in either case."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from triton_models.server import keeper
from triton_models.server.proc import below, parents, runs

Handler = Callable[[int, FrameType | None], object] | int

STOPPING = "stopping in good order; Ctrl-C once more stops at once"
STOPPED = "stopped; what is committed stays, and the same command goes on from there"

_BY_DEFAULT: dict[int, Handler] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
"""What asks a program to stop, and who handles it where nobody has said otherwise."""


def exit_status(number: int) -> int:
    """What a shell expects of a program that a signal has ended: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + number


@contextmanager
def interruptible(say: Callable[[str], None]) -> Iterator[None]:
    """In the block, the first signal raises KeyboardInterrupt, and then ends the program whatever else goes wrong.

    A second one ends it at once, with all processes that it has started, whatever the main thread does meanwhile.
    A signal that is ignored, as Ctrl-C is in a script's background, stays so. To be used in the main thread.
    """
    numbers = [number for number, handler in _BY_DEFAULT.items() if signal.getsignal(number) is handler]
    came: list[int] = []
    try:
        with _watched(numbers, came, say):
            yield
    except BaseException:
        if not came:
            raise
        say(STOPPED)
        _end_everything(came[0])


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Whoever handles signals before the block does so after it: Ray takes SIGTERM for itself where it starts."""
    before = {number: signal.getsignal(number) for number in _BY_DEFAULT}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _watched(numbers: Sequence[int], came: list[int], say: Callable[[str], None]) -> Iterator[None]:
    """Watches for signals; after the block `came` has all that came."""
    raised = False

    def once(number: int, frame: FrameType | None) -> None:
        nonlocal raised
        if not raised:
            raised = True
            raise KeyboardInterrupt

    # Python writes to it as soon as a signal comes, and calls handlers only when the main thread gets to it.
    signals, told = socket.socketpair()
    told.setblocking(False)
    watching = threading.Thread(target=_watch, args=(signals, numbers, came, say), daemon=True)
    watching.start()
    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, once)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, _BY_DEFAULT[number])
        signal.set_wakeup_fd(before)
        told.close()
        watching.join()
        signals.close()


def _watch(signals: socket.socket, watched: Sequence[int], came: list[int], say: Callable[[str], None]) -> None:
    while numbers := signals.recv(16):
        for number in filter(watched.__contains__, numbers):
            came.append(number)
            if len(came) == 1:
                say(STOPPING)
            else:
                _stop_at_once(number)


def _stop_at_once(number: int) -> NoReturn:
    with suppress(OSError):
        os.write(sys.stdout.fileno(), f"{STOPPED}\n".encode())  # who prints may hold a lock
    _end_everything(number)


def _end_everything(number: int) -> NoReturn:
    """Not by way of the interpreter's end, where Ray's own hooks may wait, or raise what nobody wants to read."""
    for pid in _below(os.getpid()):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os._exit(exit_status(number))


def _below(pid: int) -> list[int]:
    """All processes below one, parents before their children.

    A server's keeper is left out with all below it: it ends by itself without its owner, and cleans up.
    """
    above = parents()
    keepers = {child for child in below(pid, above) if runs(child, keeper.__file__)}
    return below(pid, {child: parent for child, parent in above.items() if child not in keepers})
