"""The server of a node as a process: started, ready, stopped, and never left behind."""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from tritonclient.grpc import InferenceServerClient

from triton_models.repository import layout, versions
from triton_models.server import handshake, health, keeper
from triton_models.server.binary import Binary, embedded_binary, external_binary
from triton_models.server.certificates import own_credentials
from triton_models.server.channel import open_client
from triton_models.server.control_key import read_control_key
from triton_models.server.credentials import NONE, Credentials
from triton_models.server.errors import BrokenModelError, PortInUseError, StartError, StarvedError, StopError
from triton_models.server.last_words import last_words, starved
from triton_models.server.masking import shown_by
from triton_models.server.options import ServerOptions, check_address, command_line
from triton_models.server.ports import choose_ports
from triton_models.server.runtime import Runtime
from triton_models.storage import open_storage

POLL_S = 0.05
# How long the server may take to unload its models after its requests are finished.
UNLOAD_S = 30.0
STARTS = 3
"""How often a server is started that got no processor at its start. It needs one for a moment each second."""

_CHANNEL = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.max_receive_message_length", -1),
]


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NodeServer:
    """A running server. Use it in a `with` statement, or call `stop`; it dies with this process in any case.

    `options` has the ports that were chosen, `models` what was loaded. `identity` is the server's name in its own
    metadata and the beginning of the names of its shared memory; `credentials` are what its owner shows to it.
    """

    options: ServerOptions
    identity: str
    keeper: subprocess.Popen[bytes]
    models: tuple[health.LoadedModel, ...] = ()
    credentials: Credentials = NONE

    @classmethod
    def start(cls, source: Runtime | Path, options: ServerOptions) -> NodeServer:
        """Starts the embedded server of a runtime, or the `tritonserver` at a path; returns when it is ready.

        Ready means that every model is loaded and has answered a real request. A server that aborts because it gets no
        processor is started again. Raises a ServerError otherwise, and then nothing is left behind.
        """
        binary = embedded_binary(source) if isinstance(source, Runtime) else external_binary(source)
        check_address(options, binary)
        credentials = own_credentials(options.tls) if options.tls is not None else NONE
        credentials = replace(credentials, control_key_file=options.control_key_file)
        complete_configs = _check_models(options)
        keeper.reap_orphaned_shared_memory()
        for _ in range(STARTS - 1):
            try:
                return cls._started(binary, options, credentials, complete_configs)
            except StarvedError as error:
                _log.warning("%s; it is started again", error)
        return cls._started(binary, options, credentials, complete_configs)

    @classmethod
    def _started(
        cls, binary: Binary, options: ServerOptions, credentials: Credentials, complete_configs: bool
    ) -> NodeServer:
        options = choose_ports(options)
        identity = keeper.identity(os.getpid(), secrets.token_hex(4))
        process, log_start = _launch(binary, options, identity, complete_configs)
        server = cls(options, identity, process, credentials=credentials)
        try:
            return replace(server, models=server._ready(log_start))
        except BaseException:
            server._kill()
            raise

    @property
    def grpc_url(self) -> str:
        """The address for gRPC clients, as in `127.0.0.1:8001`."""
        return f"{_reachable(self.options.address)}:{self.options.grpc_port}"

    @property
    def http_url(self) -> str:
        """The address for HTTP clients, as in `http://127.0.0.1:8000`."""
        return f"http://{_reachable(self.options.address_of('http_port'))}:{self.options.http_port}"

    @property
    def metrics_url(self) -> str:
        """Where Prometheus finds the metrics, as in `http://127.0.0.1:8002/metrics`."""
        return f"http://{_reachable(self.options.address_of('metrics_port'))}:{self.options.metrics_port}/metrics"

    @property
    def is_running(self) -> bool:
        """Whether the server's process is there."""
        return self.keeper.poll() is None

    @property
    def shows_control_key(self) -> bool:
        """Whether every user of this machine can read the control key in the list of processes."""
        key_file = self.options.control_key_file
        return key_file is not None and shown_by(self.keeper.pid, read_control_key(key_file))

    def wait(self, timeout_s: float | None = None) -> int:
        """Waits for the server's end; returns its exit status. Raises TimeoutError."""
        try:
            return self.keeper.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"the server is still running after {timeout_s} s") from error

    def stop(self, timeout_s: float | None = None) -> None:
        """Lets requests in flight finish and ends the server; does nothing if it has ended.

        Raises StopError if it did not end in `timeout_s` and was killed, or ended with an error.
        """
        if not self.is_running:
            return
        limit_s = self.options.exit_timeout_s + UNLOAD_S if timeout_s is None else timeout_s
        self.keeper.send_signal(signal.SIGTERM)
        try:
            status = self.wait(limit_s)
        except TimeoutError as error:
            self._kill()
            raise StopError(f"the server did not stop in {limit_s:g} s and was killed; {self._see_log}") from error
        except BaseException:
            self._kill()  # a second Ctrl-C: no more patience
            raise
        if status != 0:
            raise StopError(f"the server ended with status {status} when it was stopped; {self._see_log}")

    def __enter__(self) -> NodeServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _ready(self, log_start: int) -> tuple[health.LoadedModel, ...]:
        deadline = time.monotonic() + self.options.start_timeout_s
        with open_client(self.grpc_url, self.credentials, _CHANNEL) as client:
            self._await_grpc(client, deadline, log_start)
            self._await_http(deadline, log_start)
            models = health.loaded_models(client)
            for model in models:
                if not model.is_ready:
                    what = f"{model.name} version {model.version}" if model.version else model.name
                    raise BrokenModelError(f"{what} cannot be loaded: {model.reason}; {self._see_log}")
            if self.options.probe:
                self._probe(client, models)
        return tuple(models)

    def _probe(self, client: InferenceServerClient, models: Sequence[health.LoadedModel]) -> None:
        for model in models:
            try:
                health.probe(client, model)
            except BrokenModelError as error:
                raise BrokenModelError(
                    f"{error}; if it cannot answer tensors of ones and zeros by design, start with --no-probe"
                ) from error

    def _await_grpc(self, client: InferenceServerClient, deadline: float, log_start: int) -> None:
        while (name := health.server_name(client)) is None:
            if self.credentials.uses_tls and (trouble := handshake.trouble(self.grpc_url, self.credentials)):
                raise StartError(f"the server has started and does not let in its own owner: {trouble}")
            self._await_more(deadline, log_start)
        if name != self.identity:
            raise PortInUseError(f"another server answers at {self.grpc_url}; choose another --grpc-port")

    def _await_http(self, deadline: float, log_start: int) -> None:
        while (name := _name_over_http(self.http_url)) is None:
            self._await_more(deadline, log_start)
        if name != self.identity:
            raise PortInUseError(f"another server answers at {self.http_url}; choose another --http-port")

    def _await_more(self, deadline: float, log_start: int) -> None:
        try:
            status = self.wait(POLL_S)
        except TimeoutError:
            if time.monotonic() > deadline:
                raise StartError(
                    f"the server was not ready after {self.options.start_timeout_s:g} s; {self._see_log}"
                ) from None
        else:
            log_file = self.options.log_file
            kind = StarvedError if starved(log_file, log_start) else StartError
            raise kind(f"the server did not start: {last_words(status, log_file, log_start)}; {self._see_log}")

    def _kill(self) -> None:
        if self.is_running:
            self.keeper.send_signal(signal.SIGQUIT)
            self.keeper.wait()

    @property
    def _see_log(self) -> str:
        return f"its log is {self.options.log_file}"


def _check_models(options: ServerOptions) -> bool:
    """Whether all configs of the repository are complete.

    Raises StartError for a wanted model that is not there, RepositoryError for a name that Triton cannot take.
    """
    repository = open_storage(str(options.repository.absolute()))
    folders, there = repository.folders(), versions.models(repository)
    missing = sorted(set(options.models or ()) - set(folders))
    if missing:
        raise StartError(f"{options.repository} has no model {missing[0]}; it has {', '.join(there) or 'none'}")
    for name in there:
        layout.checked_name(name)  # others take effect in the shell that starts a model's process
    configs = [versions.read_config(repository, name) for name in there]
    # A folder without a config may still be a model, for which Triton can make one up.
    return there == folders and all(config and config.input and config.output for config in configs)


def _launch(
    binary: Binary, options: ServerOptions, identity: str, complete_configs: bool
) -> tuple[subprocess.Popen[bytes], int]:
    """The keeper's process, and where in the log file its own lines begin."""
    key = read_control_key(options.control_key_file) if options.control_key_file is not None else ""
    command = command_line(options, binary, identity, complete_configs)
    niceness = keeper.BACKGROUND if options.background else keeper.NORMAL
    keeping = [sys.executable, "-I", "-S", keeper.__file__, str(os.getpid()), identity, niceness]
    joins = options.background and keeper.has_stepped_back()
    options.log_file.parent.mkdir(parents=True, exist_ok=True)
    with options.log_file.open("ab") as log:
        process = subprocess.Popen(
            [*keeping, *command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=dict(binary.environment),
            cwd=options.repository,
            # Ctrl-C is for the one who stops the server in good order. A session has a share of the processors: the
            # server of a job that has stepped back is not to have one besides.
            start_new_session=not joins,
            process_group=0 if joins else None,
        )
        assert process.stdin is not None
        with process.stdin:
            process.stdin.write(key.encode())
        return process, log.tell()


def _name_over_http(url: str) -> str | None:
    try:
        with urllib.request.urlopen(f"{url}/v2", timeout=5.0) as answer:
            return str(json.load(answer).get("name"))
    except (urllib.error.HTTPError, json.JSONDecodeError):
        return ""  # something answers, but it is no Triton
    except OSError:
        return None


def _reachable(address: str) -> str:
    """Where this machine reaches a server that listens on an address."""
    if address in ("0.0.0.0", "::"):
        return "127.0.0.1" if address == "0.0.0.0" else "[::1]"
    return f"[{address}]" if ":" in address else address
