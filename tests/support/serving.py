"""`rayton serve` as a user runs it, and what it says."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.command import start_rayton

ANY_PORTS = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
PATIENCE_S = 60.0


@dataclass
class Serving:
    """A server that has said that it is ready. `report` maps the first word of each of its lines to the rest."""

    process: subprocess.Popen[str]
    report: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def await_line(self, *words: str) -> str:
        """Reads on until a line has all of these words; it is gone over once. Kills a server that never says so."""
        watchdog = threading.Timer(PATIENCE_S, self.process.kill)
        watchdog.start()
        try:
            for line in self.process.stdout or ():
                self.lines.append(line.strip())
                if all(word in line for word in words):
                    return line.strip()
        finally:
            watchdog.cancel()
        errors = self.process.stderr.read() if self.process.stderr is not None else ""
        raise AssertionError(f"no line with {words} in:\n" + "\n".join((*self.lines, errors)))


@contextmanager
def serving(home: Path, repository: Path | str, *options: str) -> Iterator[Serving]:
    """A server in a process group of its own, on free ports, once it says that it is ready."""
    process = start_rayton(home, "serve", "--repository", str(repository), *ANY_PORTS, *options)
    assert process.stdout is not None
    with process, process.stdout:
        served = Serving(process)
        try:
            served.await_line("ready;")
            for line in served.lines:
                name, _, value = line.partition(" ")
                served.report[name] = value.strip()
            yield served
        finally:
            process.kill()
