"""Keeps Triton from taking this process for dead, and an answer for which nobody waits from being given to others.

While a call lasts, the Python backend of Triton 2.51 asks every second whether its process has given a sign of life
since. A thread of the process gives one every 0.3 s, unless it gets no processor for so long. Triton then answers the
call with an error, frees the memory that the process still works in, and takes the answer, when it comes, for that of
its next call: other clients get rows that are not theirs, until one of the two crashes.

So there is a second thread here that gives signs, more often; and a server that has given up a call all the same is
ended before anything more is answered.

The signs, and the queue in which Triton tells its process that it is done with a call, lie in memory that both see. How
is in the sources of the Python backend: `IPCControlShm` in pb_utils.h, `MessageQueueShm` in message_queue.h, and
`AllocatedShmOwnership` in shm_manager.h, which stands before each of them.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
SIGN_EVERY_S = 0.05

OWNERSHIP = 16
# Of the control: four flags, of which the first is the sign, and two mutexes; then where the queue to the process is.
QUEUE_HANDLE = 88
# Of a queue: two semaphores of 32 bytes and a mutex of 40; its length; where its elements are; then head and tail.
LENGTH, HEAD_AND_TAIL = 104, 120
EXPECTED_LENGTH = 1000

GIVEN_UP = "Triton took the process of a model for dead"
"""How the line begins that this process says before it ends its server."""


class LayoutError(RuntimeError):
    """The memory is not laid out as that of the Triton that this was written for."""


@dataclass(frozen=True)
class Server:
    """Triton, as the command line of its process for a model says: `handle` is where the control lies in the region."""

    pid: int
    region: str
    handle: int

    @classmethod
    def of_this_process(cls) -> Server:
        """The one that started this process."""
        words = Path("/proc/self/cmdline").read_bytes().decode().split("\0")
        return cls(pid=int(words[5]), region=words[2], handle=int(words[7]))


class Lifeline:
    """What this process and its server know of each other. Gives signs of life from the beginning until it is cut.

    Raises LayoutError and OSError.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        with (SHARED_MEMORY / server.region).open("r+b") as region:
            self._memory = mmap.mmap(region.fileno(), 0)
        self._sign = server.handle + OWNERSHIP
        try:
            self._queue = int(struct.unpack_from("q", self._memory, self._sign + QUEUE_HANDLE)[0]) + OWNERSHIP
            length = struct.unpack_from("Q", self._memory, self._queue + LENGTH)[0]
        except struct.error as error:
            raise LayoutError(f"{server.region} of Triton is too small: {error}") from error
        if length != EXPECTED_LENGTH:
            expected = f"the length of a queue, {EXPECTED_LENGTH}, should be"
            raise LayoutError(f"{server.region} of Triton has {length} where {expected}")
        self._cut = threading.Event()
        self._thread = threading.Thread(target=self._give_signs, daemon=True)
        self._thread.start()

    def is_given_up(self) -> bool:
        """Whether the server is done with the call that this process is at; meaningless between two calls."""
        head, tail = struct.unpack_from("ii", self._memory, self._queue + HEAD_AND_TAIL)
        return bool(head != tail)

    def check(self) -> None:
        """Ends the server, and this process with it, if it has given up the call that this process is at."""
        if self.is_given_up():
            print(
                f"{GIVEN_UP}, because it gave no sign of life for a second: the machine is too busy. Its answers would "
                "go to the wrong clients from now on, so the server ends",
                file=sys.stderr,
                flush=True,
            )
            os.kill(self._server.pid, signal.SIGKILL)
            os._exit(1)

    def cut(self) -> None:
        """Gives no more signs."""
        self._cut.set()
        self._thread.join()

    def _give_signs(self) -> None:
        while not self._cut.wait(SIGN_EVERY_S):
            self._memory[self._sign] = True
