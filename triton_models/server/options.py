"""How a server is started, and the command line that says so to Triton."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from triton_models.server.binary import Binary
from triton_models.server.certificates import ServerTls
from triton_models.server.control_key import HEADER, RESTRICTED
from triton_models.server.errors import StartError, UnsafeAddressError
from triton_models.server.masking import SECRET

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class ServerOptions:
    """What a node server serves, and where.

    `models` None means every model of the repository, at the start. A port 0 means any free one. `exit_timeout_s` is
    how long requests in flight may take after SIGTERM; `start_timeout_s` how long all models may take to load.
    `probe` sends one request to each model before the server counts as ready. One in the `background` gets only the
    processor time that no other process wants (SCHED_IDLE).

    `tls` encrypts gRPC. Triton's HTTP knows no TLS and then stays on this machine; metrics, which tell figures and
    names of models, go to `metrics_address`, or else to `address`. With a `control_key_file` only those who have the
    key in it load models, share memory, or change traces and logs.
    """

    repository: Path
    log_file: Path
    models: tuple[str, ...] | None = None
    address: str = LOOPBACK
    http_port: int = 0
    grpc_port: int = 0
    metrics_port: int = 0
    exit_timeout_s: int = 30
    start_timeout_s: float = 600.0
    probe: bool = True
    allow_remote: bool = False
    background: bool = False
    tls: ServerTls | None = None
    control_key_file: Path | None = None
    metrics_address: str | None = None

    def __post_init__(self) -> None:
        if not self.repository.is_dir():
            raise StartError(f"{self.repository} is not a folder; give the folder that holds the models")
        for name in PORT_NAMES:
            port = getattr(self, name)
            if not 0 <= port <= 65535:
                raise StartError(f"{name} {port} is not a port; use 1 to 65535, or 0 for any free one")
        given = [port for port in (getattr(self, name) for name in PORT_NAMES) if port]
        if len(given) != len(set(given)):
            raise StartError("HTTP, gRPC and metrics need three different ports, but two are the same")

    def address_of(self, port_name: str) -> str:
        """Where the protocol of this port listens, `port_name` being as in `http_port`."""
        if port_name == "metrics_port":
            return self.metrics_address or self.address
        if port_name == "http_port" and self.tls is not None and not is_loopback(self.address):
            return LOOPBACK
        return self.address


PORT_NAMES = ("http_port", "grpc_port", "metrics_port")


def check_address(options: ServerOptions, binary: Binary) -> None:
    """Raises UnsafeAddressError where the embedded server would be reachable from other machines."""
    if not binary.is_embedded or options.allow_remote:
        return
    for address in map(options.address_of, PORT_NAMES):
        if not is_loopback(address):
            raise UnsafeAddressError(
                f"the embedded server does not listen on {address}: through known holes in its Triton, 2.51, whoever "
                "reaches its ports can crash it or run code, and TLS does not close them all; keep it on 127.0.0.1, "
                "run a current server with --tritonserver, or take the risk with --allow-remote"
            )


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def command_line(options: ServerOptions, binary: Binary, identity: str, complete_configs: bool) -> list[str]:
    """The arguments for Triton; `identity` names the server and its shared memory, all ports must be chosen.

    It is to run in the repository's folder: the path of a model is put into a shell's command line by Triton's Python
    backend, where a space or a dollar sign in it would take effect.
    Model control is explicit. A model that fails to load does not end the server: its reason can then be asked for.
    Triton's completion of configs starts each model twice (1.2 s more) and is off where `complete_configs` says that
    none needs it. In place of the control key stands the keeper's word for it.
    """
    models = options.models if options.models is not None else ("*",)
    arguments = [
        str(binary.path),
        f"--id={identity}",
        "--model-repository=.",
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in models),
        "--exit-on-error=false",
        f"--exit-timeout-secs={options.exit_timeout_s}",
        f"--http-address={options.address_of('http_port')}",
        f"--http-port={options.http_port}",
        f"--grpc-address={options.address_of('grpc_port')}",
        f"--grpc-port={options.grpc_port}",
        f"--metrics-address={options.address_of('metrics_port')}",
        f"--metrics-port={options.metrics_port}",
        f"--backend-config=python,shm-region-prefix-name={identity}",
        *_tls_arguments(options.tls),
    ]
    if options.control_key_file is not None:
        closed = f"{','.join(RESTRICTED)}:{HEADER}={SECRET}"
        arguments += [f"--grpc-restricted-protocol={closed}", f"--http-restricted-api={closed}"]
    if binary.backend_directory is not None:
        arguments.append(f"--backend-directory={binary.backend_directory}")
    if complete_configs:
        arguments.append("--disable-auto-complete-config")
    return arguments


def _tls_arguments(tls: ServerTls | None) -> list[str]:
    if tls is None:
        return []
    arguments = [
        "--grpc-use-ssl=true",
        f"--grpc-server-cert={tls.cert.expanduser().absolute()}",
        f"--grpc-server-key={tls.key.expanduser().absolute()}",
    ]
    if tls.ca is not None:
        arguments += ["--grpc-use-ssl-mutual=true", f"--grpc-root-cert={tls.ca.expanduser().absolute()}"]
    return arguments
