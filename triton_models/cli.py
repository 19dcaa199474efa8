"""`rayton serve`: the server of this machine on the command line."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.models import OptionInfo

import triton_models.doctor.cli
import triton_models.history.cli
import triton_models.runtime_cli
from triton_models.home import rayton_home
from triton_models.lines import say, say_when
from triton_models.runtime_cli import Gpu, installed_runtime

if TYPE_CHECKING:
    from triton_models.server.certificates import ServerTls
    from triton_models.server.follow import Follower

REFRESH_S = 30.0
BULK_PORTS = 100
"""The ports of a bulk lane are so much higher than those of the server that it is beside."""

# What needs time to import (grpc, numpy, pyarrow, rich) is imported by the commands that use it.


def _port_option(usual: int) -> OptionInfo:
    usually = f"{usual}, {usual + BULK_PORTS} with --bulk-lane"
    option: OptionInfo = typer.Option(help="0 takes any free port.", show_default=usually)
    return option


def _tls_option(text: str, usual: str | bool = False) -> OptionInfo:
    option: OptionInfo = typer.Option(help=text, show_default=usual, rich_help_panel="Security")
    return option


def mount(app: typer.Typer) -> None:
    """Adds `serve`, `runtime`, `models`, `doctor` and `health` to a command line."""
    app.command()(serve)
    triton_models.runtime_cli.mount(app)
    triton_models.history.cli.mount(app)
    triton_models.doctor.cli.mount(app)


def serve(
    repository: Annotated[
        str, typer.Option(envvar="RAYTON_REPOSITORY", help="What holds the models: a folder, s3:// or gs://.")
    ],
    model: Annotated[list[str] | None, typer.Option(help="Serve this model; may be repeated. All by default.")] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Serve a checked copy in this folder; below RAYTON_HOME by default for s3:// and gs://."),
    ] = None,
    refresh_s: Annotated[
        float | None,
        typer.Option(
            min=0, help="How often a copy looks for what is new in its repository; 0 is never.", show_default="30"
        ),
    ] = None,
    address: Annotated[str, typer.Option(help="Where to listen; only this machine by default.")] = "127.0.0.1",
    http_port: Annotated[int | None, _port_option(8000)] = None,
    grpc_port: Annotated[int | None, _port_option(8001)] = None,
    metrics_port: Annotated[int | None, _port_option(8002)] = None,
    tritonserver: Annotated[Path | None, typer.Option(help="Run this server instead of the embedded one.")] = None,
    log_file: Annotated[Path | None, typer.Option(help="Triton's own log; below RAYTON_HOME by default.")] = None,
    exit_timeout_s: Annotated[int, typer.Option(min=0, help="How long requests may take after SIGTERM.")] = 30,
    start_timeout_s: Annotated[float, typer.Option(min=1, help="How long the models may take to load.")] = 600.0,
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="Listen on any address all the same.")] = False,
    probe: Annotated[bool, typer.Option(help="Send one request to each model before it counts as ready.")] = True,
    bulk_lane: Annotated[
        bool,
        typer.Option(
            "--bulk-lane", help="For bulk jobs beside another server: it takes only time that nobody else wants."
        ),
    ] = False,
    beside: Annotated[
        str,
        typer.Option(help="With --bulk-lane, the other server, for gRPC: its threads take the processors of this one."),
    ] = "localhost:8001",
    gpu: Gpu = False,
    tls_cert: Annotated[
        Path | None, _tls_option("Encrypt gRPC; the certificate of this server, with its chain (PEM).")
    ] = None,
    tls_key: Annotated[Path | None, _tls_option("The key of that certificate (PEM).")] = None,
    tls_ca: Annotated[
        Path | None, _tls_option("Mutual TLS: let in only clients with a certificate that this CA has signed (PEM).")
    ] = None,
    tls_client_cert: Annotated[
        Path | None,
        _tls_option("With --tls-ca, what this command shows to its server; the server's own certificate by default."),
    ] = None,
    tls_client_key: Annotated[Path | None, _tls_option("The key of that certificate (PEM).")] = None,
    control_key_file: Annotated[
        Path | None,
        _tls_option(
            "Only clients with the key in this file may load models, share memory, or change traces and logs.",
            "RAYTON_HOME/servers/control.key, made by itself, with another --address than this machine's",
        ),
    ] = None,
    metrics_address: Annotated[
        str | None, _tls_option("Where metrics are told, without TLS.", "what --address says")
    ] = None,
) -> None:
    """Serve the models of a repository on this machine until Ctrl-C or SIGTERM."""
    from triton_models.addresses import checked_uri
    from triton_models.announce import announce
    from triton_models.server.certificates import tls_cautions
    from triton_models.server.control_key import open_to_others
    from triton_models.server.errors import StartError
    from triton_models.server.options import ServerOptions
    from triton_models.server.process import NodeServer
    from triton_models.server.register import registered
    from triton_models.serving import StopRequested, serve_until_stopped, stop

    if bulk_lane and gpu:
        raise StartError("--bulk-lane steps back on processors only, not on GPUs; leave out --gpu or --bulk-lane")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    home, names = rayton_home(os.environ), tuple(model) if model else None
    tls = _tls(tls_cert, tls_key, tls_ca, tls_client_cert, tls_client_key)
    control_key_file = _control_key_file(control_key_file, address, home)
    cautions = [*(tls_cautions(tls) if tls is not None else ()), *open_to_others(control_key_file)]
    uri = checked_uri(repository, os.environ.get("AWS_ENDPOINT_URL"))
    try:
        with _follower(uri, cache, names, refresh_s, bulk_lane) as follower:
            options = ServerOptions(
                repository=follower.cache.models if follower else Path(uri),
                log_file=log_file or home / "logs" / f"tritonserver-{os.getpid()}.log",
                models=names,
                address=address,
                http_port=_port(http_port, 8000, bulk_lane),
                grpc_port=_port(grpc_port, 8001, bulk_lane),
                metrics_port=_port(metrics_port, 8002, bulk_lane),
                exit_timeout_s=exit_timeout_s,
                start_timeout_s=start_timeout_s,
                probe=probe,
                allow_remote=allow_remote,
                background=bulk_lane,
                tls=tls,
                control_key_file=control_key_file,
                metrics_address=metrics_address,
            )
            with _balanced(beside if bulk_lane else None):
                source = tritonserver or installed_runtime(gpu)
                start = partial(follower.start if follower else NodeServer.start, source)
                with (
                    start(options) as server,
                    registered(home, server.options.grpc_port, str(options.repository.absolute())),
                ):
                    announce(server, follower, cautions)
                    serve_until_stopped(server, start, follower, REFRESH_S if refresh_s is None else refresh_s)
    except StopRequested:
        say("stopped")


def _port(given: int | None, usual: int, bulk_lane: bool) -> int:
    if given is not None:
        return given
    return usual + BULK_PORTS if bulk_lane else usual


def _tls(
    cert: Path | None, key: Path | None, ca: Path | None, client_cert: Path | None, client_key: Path | None
) -> ServerTls | None:
    from triton_models.server.certificates import ServerTls, own_credentials
    from triton_models.server.errors import CredentialsError

    if cert is None or key is None:
        if any((cert, key, ca, client_cert, client_key)):
            raise CredentialsError("TLS needs both --tls-cert and --tls-key, the server's certificate and its key")
        return None
    tls = ServerTls(cert, key, ca, client_cert, client_key)
    own_credentials(tls)  # before anything is copied or started
    return tls


def _control_key_file(given: Path | None, address: str, home: Path) -> Path | None:
    """The file of the key for control calls; where other machines reach the server there is always one."""
    from triton_models.server.control_key import made_control_key, read_control_key
    from triton_models.server.options import is_loopback

    found = given or (None if is_loopback(address) else made_control_key(home / "servers" / "control.key"))
    if found is not None:
        read_control_key(found)
    return found


@contextmanager
def _follower(
    uri: str, cache: Path | None, names: tuple[str, ...] | None, refresh_s: float | None, bulk_lane: bool
) -> Iterator[Follower | None]:
    """What keeps a copy of the repository; None where the repository itself is served, in its own folder."""
    from triton_models.repository.cache import default_folder, open_cache
    from triton_models.server.errors import StartError
    from triton_models.server.follow import Follower
    from triton_models.storage import open_storage

    if "://" not in uri and cache is None:
        if refresh_s:
            raise StartError(
                f"{uri} is served where it is, and what is new there is loaded when somebody says so, with "
                "`rayton export --load`; to follow it all the same, serve a copy of it with --cache"
            )
        yield None
        return
    endpoint_url = os.environ.get("AWS_ENDPOINT_URL") if uri.startswith("s3://") else None
    usual = default_folder(rayton_home(os.environ), uri, endpoint_url)
    usual = usual.with_name(f"{usual.name}-bulk") if bulk_lane else usual  # a copy has one server
    with open_cache(cache.expanduser() if cache else usual, uri, endpoint_url) as copy:
        # A node does not wait for a store that fails: it serves its copy, and asks again at the next refresh.
        yield Follower(copy, lambda: open_storage(uri, endpoint_url, timeout_s=0), names, say_when)


@contextmanager
def _balanced(users_url: str | None) -> Iterator[None]:
    """Balances the server of online users against what is started in the block; None: there is none."""
    from triton_models.server.balancing import Balancer
    from triton_models.server.errors import StartError

    if users_url is None:
        yield
        return
    if "@" in users_url:
        raise StartError("--beside holds credentials; give HOST:PORT alone, as in localhost:8001")
    with closing(Balancer()) as balancing:
        try:
            why_not = balancing.balance(users_url)
        except ValueError as error:
            raise StartError(f"--beside {users_url} is no address as in localhost:8001: {error}") from error
        if why_not is None:
            say(f"{'beside':8} {users_url}: its threads that share a processor move to one where this server runs")
        else:
            say(f"{'caution':8} threads of {users_url} may share a processor while this server runs: {why_not}")
        yield
