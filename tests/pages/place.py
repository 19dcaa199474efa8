"""Where the commands of the pages are run: a folder, a store, and what stands for the addresses that the pages name."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import boto3

from tests.pages.terminal import Terminal
from tests.support.s3 import object_store
from tests.support.serving import ANY_PORTS, Serving
from tests.support.told import ROOT, told_commands
from triton_models.server.ports import steady_port

PATIENCE_S = 120.0
NOTHING_MORE: Mapping[str, str] = {}
OUTPUT = "s3://corpus/embeddings"


class Place:
    """Runs lines as they stand, in `folder`; `ran` are those that were.

    `stands_for` says what takes the place of an address, a port or a path of the pages, and `behind` what is put behind
    a line or all that begin with these two words, as they do not say where they listen. Else no line is changed.
    """

    def __init__(self, folder: Path, home: Path, store: str, ray_folder: Path) -> None:
        # Where commands are run is apart from where they keep what they write meanwhile: `ray job submit` reads its
        # working folder twice, and what has changed in between is not found any more.
        self.folder, self._homes, self.store = folder / "work", folder, store
        self.folder.mkdir()
        self.home = folder / "home"
        self.ran: set[str] = set()
        self.stands_for = {
            "http://127.0.0.1:9000": store,
            "0.0.0.0": "LOCALHOST",  # which is no loopback by its name
            "8003": str(steady_port()),
        }
        self.scoring_metrics = str(steady_port())
        self.behind: dict[str, tuple[str, ...]] = {"rayton serve": ANY_PORTS}
        self._runtimes = home / "runtimes"
        self._exported = {told.line: told.exported for told in reversed(list(told_commands()))}
        self._environment = {
            "HOME": str(self.home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "200",
            "TERM": "xterm",
            "RAY_TMPDIR": str(ray_folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_metrics_report_interval_ms": "500",
        }
        self._processes: list[subprocess.Popen[str]] = []
        self.new_home("home")

    def new_home(self, name: str) -> dict[str, str]:
        """The environment of another node: a RAYTON_HOME in which nothing is but the embedded server."""
        made = self._homes / name
        made.mkdir()
        (made / "runtimes").symlink_to(self._runtimes)
        return {"RAYTON_HOME": str(made)}

    def run(self, line: str, within: Mapping[str, str] = NOTHING_MORE, *, status: int = 0) -> str:
        """Runs a line to its end; gives what it printed, what it said on standard error behind it."""
        return self.ended(self.start(line, within), status)

    def start(
        self, line: str, within: Mapping[str, str] = NOTHING_MORE, *, terminal: Terminal | None = None
    ) -> subprocess.Popen[str]:
        """Starts a line in a process group of its own, `within` an environment."""
        self.ran.add(line)
        print(f"$ {line}", flush=True)  # shown where the test fails
        program = " ".join(line.split()[:2])
        words = [*shlex.split(self.here(line)), *self.behind.get(program, ()), *self.behind.get(line, ())]
        return self._started(words, {**self._exported.get(line, {}), **within}, terminal)

    def program(self, name: str, text: str, within: Mapping[str, str] = NOTHING_MORE) -> str:
        """Runs a Python program of the pages; gives what it printed."""
        (self.folder / name).write_text(self.here(text))
        return self.ended(self._started([sys.executable, name], within))

    def asked(self, words: list[str], within: Mapping[str, str] = NOTHING_MORE) -> str:
        """Runs what no page says; gives what it printed."""
        return self.ended(self._started([self.here(word) for word in words], within))

    def here(self, text: str) -> str:
        """The same with what is here in the place of what the pages name."""
        named = sorted(self.stands_for, key=len, reverse=True)
        return re.sub("|".join(map(re.escape, named)), lambda found: self.stands_for[found[0]], text)

    def ended(self, process: subprocess.Popen[str], status: int = 0) -> str:
        """Waits for the end of what was started, which has to have this exit status."""
        with process:
            printed, errors = process.communicate(timeout=PATIENCE_S)
        print(printed, errors, sep="\n", flush=True)
        assert process.returncode == status, (process.args, printed, errors)
        return printed + errors

    def _started(
        self, words: list[str], within: Mapping[str, str], terminal: Terminal | None = None
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            words,
            cwd=self.folder,
            env=os.environ | self._environment | {"RAYTON_HOME": str(self.home)} | dict(within),
            stdout=terminal.inner if terminal is not None else subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def close(self) -> None:
        """Ends what runs still, as after a failure."""
        for process in reversed(self._processes):
            with process:
                process.terminate()
                try:
                    process.communicate(timeout=PATIENCE_S)
                except subprocess.TimeoutExpired:
                    process.kill()

    def serve(self, line: str, within: Mapping[str, str] = NOTHING_MORE) -> Serving:
        """Starts a server; `await_ready` says when it is."""
        return Serving(self.start(line, within))


def await_ready(served: Serving) -> str:
    """Waits until a server says that it is ready; gives the address of its gRPC."""
    served.await_line("ready;")
    for line in served.lines:
        name, _, value = line.partition(" ")
        served.report[name] = value.strip()
    return served.report["gRPC"]


def stop(served: Serving, number: signal.Signals) -> None:
    """Stops a server by a signal, and waits until it has said so."""
    with served.process as process:
        process.send_signal(number)
        printed, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    assert printed.splitlines()[-1] == "stopped"


@contextmanager
def place(home: Path, folder: Path) -> Iterator[Place]:
    """The place with its two buckets; gone afterwards."""
    # Ray's sockets lie below its folder, and the path of a socket must be short.
    with object_store("models") as store, tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as ray:
        boto3.client("s3", endpoint_url=store).create_bucket(Bucket="corpus")
        with closing(Place(folder, home, store, Path(ray))) as found:
            yield found
