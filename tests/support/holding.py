"""A process that takes permits and gives them back, as an actor does, but sends nothing to the server.

What has a permit waits for its turn at a file, as at a server of one instance, which works at one batch at a time.

    python -m tests.support.holding HOST:PORT HOME BATCH_S TAKERS HELLO

HELLO is the line that it introduces itself with. Prints a line with the moment of each permit, in seconds of the
machine's monotonic clock, and ends with its standard input.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ray_pipeline.errors import FatalError
from ray_pipeline.sharing.holder import Holder
from ray_pipeline.sharing.listener import NoListener
from ray_pipeline.sharing.messages import Hello, encoded, parsed

ROOT = Path(__file__).parent.parent.parent
PATIENCE_S = 30.0


@dataclass
class Holding:
    """A running process, and the moments of its permits so far."""

    process: subprocess.Popen[str]
    moments_s: list[float] = field(default_factory=list)
    news: threading.Condition = field(default_factory=threading.Condition)

    def await_permit(self, after_s: float = 0.0) -> float:
        """The moment of the first permit after another moment."""
        with self.news:
            assert self.news.wait_for(lambda: self.moments_s and self.moments_s[-1] > after_s, PATIENCE_S)
            return next(moment_s for moment_s in self.moments_s if moment_s > after_s)

    def between(self, begin_s: float, end_s: float) -> list[float]:
        """The moments between two others."""
        with self.news:
            return [moment_s for moment_s in self.moments_s if begin_s < moment_s <= end_s]

    def read(self) -> None:
        """Takes what the process prints."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self.news:
                self.moments_s.append(float(line))
                self.news.notify_all()


@contextmanager
def holding(address: str, home: Path, hello: Hello, batch_s: float, takers: int = 1) -> Iterator[Holding]:
    """A process that holds permits for `batch_s` each, `takers` at a time, in the block; it may be killed there."""
    words = [address, str(home), str(batch_s), str(takers), encoded(hello).decode()]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.holding", *words],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        found = Holding(process)
        reader = threading.Thread(target=found.read)
        reader.start()
        try:
            yield found
        finally:
            assert process.stdin is not None
            process.stdin.close()
            reader.join()


def main(address: str, home: Path, batch_s: float, takers: int, hello: Hello) -> None:
    """Takes and gives until standard input ends."""
    ended = threading.Event()
    holder = Holder(address, hello, home, NoListener())

    def take_turns() -> None:
        with suppress(FatalError):  # closed
            while not ended.is_set():
                permit = holder.take(batch_s)
                began_s = time.monotonic()
                os.write(sys.stdout.fileno(), f"{began_s}\n".encode())
                with (home / "instance").open("w") as instance:
                    fcntl.flock(instance, fcntl.LOCK_EX)
                    ended.wait(batch_s)
                permit.give(time.monotonic() - began_s, "ignored")  # the server does not count it

    for _ in range(takers):
        threading.Thread(target=take_turns, daemon=True).start()
    sys.stdin.read()
    ended.set()
    holder.close()


if __name__ == "__main__":
    said = parsed(sys.argv[5].encode())
    assert isinstance(said, Hello)
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), said)
