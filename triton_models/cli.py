"""`rayton serve` and `rayton runtime`: the server of this machine on the command line."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.models import OptionInfo

import triton_models.doctor.cli
import triton_models.history.cli
from triton_models.home import rayton_home

if TYPE_CHECKING:
    from types import FrameType

    from triton_models.server.follow import Follower
    from triton_models.server.process import NodeServer
    from triton_models.server.runtime import Runtime

REFRESH_S = 30.0
BULK_PORTS = 100
"""The ports of a bulk lane are so much higher than those of the server that it is beside."""

# What needs time to import (grpc, numpy, pyarrow, rich) is imported by the commands that use it.

runtime_app = typer.Typer(help="The embedded server's private environment.", no_args_is_help=True)

Gpu = Annotated[bool, typer.Option("--gpu", help="With CUDA, for a machine that has an NVIDIA GPU.")]


def _port_option(usual: int) -> OptionInfo:
    usually = f"{usual}, {usual + BULK_PORTS} with --bulk-lane"
    option: OptionInfo = typer.Option(help="0 takes any free port.", show_default=usually)
    return option


def mount(app: typer.Typer) -> None:
    """Adds `serve`, `runtime`, `models` and `doctor` to a command line."""
    app.command()(serve)
    app.add_typer(runtime_app, name="runtime")
    triton_models.history.cli.mount(app)
    triton_models.doctor.cli.mount(app)


def serve(
    repository: Annotated[str, typer.Option(help="What holds the models: a folder, s3:// or gs://.")],
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
) -> None:
    """Serve the models of a repository on this machine until Ctrl-C or SIGTERM."""
    from triton_models.server.errors import StartError
    from triton_models.server.options import ServerOptions
    from triton_models.server.process import NodeServer
    from triton_models.server.register import registered
    from triton_models.storage import checked_uri

    if bulk_lane and gpu:
        raise StartError("--bulk-lane steps back on processors only, not on GPUs; leave out --gpu or --bulk-lane")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    home, names = rayton_home(os.environ), tuple(model) if model else None
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
            )
            start = follower.start if follower else NodeServer.start
            with (
                _balanced(beside if bulk_lane else None),
                start(tritonserver or _runtime(gpu), options) as server,
                registered(home, server.options.grpc_port, str(options.repository.absolute())),
            ):
                _report(server, follower)
                _serve_until_stopped(server, follower, REFRESH_S if refresh_s is None else refresh_s)
    except StopRequested:
        _say("stopped")


@runtime_app.command()
def install(gpu: Gpu = False) -> None:
    """Install the embedded server; does nothing if it is there."""
    _say(str(_runtime(gpu).folder))


@runtime_app.command()
def info(gpu: Gpu = False) -> None:
    """Say where the embedded server is and what it consists of."""
    from triton_models.server.errors import RuntimeInstallError
    from triton_models.server.runtime import find_runtime

    runtime = find_runtime(rayton_home(os.environ), gpu=gpu)
    if runtime is None:
        raise RuntimeInstallError(
            f"nothing is installed in {rayton_home(os.environ)}; `rayton runtime install` does it"
        )
    _say(f"folder    {runtime.folder}\npython    {runtime.python_version}\npackages  {', '.join(runtime.packages)}")


@runtime_app.command()
def remove() -> None:
    """Remove every embedded server below RAYTON_HOME."""
    from triton_models.server.runtime import remove_runtimes

    for folder in remove_runtimes(rayton_home(os.environ), _progress):
        _say(f"removed {folder}")


def _port(given: int | None, usual: int, bulk_lane: bool) -> int:
    if given is not None:
        return given
    return usual + BULK_PORTS if bulk_lane else usual


class StopRequested(BaseException):
    """SIGTERM or Ctrl-C. Not an Exception: no one but `serve` may catch it. `came` is whether there was one."""

    came = False


def _stop(_number: int, _frame: FrameType | None) -> None:
    StopRequested.came = True
    raise StopRequested


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
        yield Follower(copy, lambda: open_storage(uri, endpoint_url, timeout_s=0), names, _say_when)


@contextmanager
def _balanced(users_url: str | None) -> Iterator[None]:
    """Balances the server of online users against what is started in the block; None: there is none."""
    from triton_models.server.balancing import Balancer
    from triton_models.server.errors import StartError

    if users_url is None:
        yield
        return
    with closing(Balancer()) as balancing:
        try:
            why_not = balancing.balance(users_url)
        except ValueError as error:
            raise StartError(f"--beside {users_url} is no address as in localhost:8001: {error}") from error
        if why_not is None:
            _say(f"{'beside':8} {users_url}: its threads that share a processor move to one where this server runs")
        else:
            _say(f"{'caution':8} threads of {users_url} may share a processor while this server runs: {why_not}")
        yield


def _serve_until_stopped(server: NodeServer, follower: Follower | None, refresh_s: float) -> None:
    from triton_models.errors import ServerError

    try:
        status = _followed(server, follower, refresh_s) if follower and refresh_s else _waited(server)
    except StopRequested:
        _say(
            f"stopping: requests in flight have {server.options.exit_timeout_s} s to finish; once more to stop at once"
        )
        raise
    raise ServerError(f"the server ended by itself with status {status}; its log is {server.options.log_file}")


def _followed(server: NodeServer, follower: Follower, refresh_s: float) -> int:
    """Keeps the server in step with its repository until it ends; gives its exit status."""
    while True:
        try:
            return _waited(server, refresh_s)
        except TimeoutError:
            follower.refresh(server)


def _waited(server: NodeServer, timeout_s: float | None = None) -> int:
    """The server's exit status, or the request to stop that came before: Python drops what a signal raises while an
    object is destroyed. Raises TimeoutError."""
    if StopRequested.came:
        raise StopRequested
    return server.wait(timeout_s)


def _runtime(gpu: bool) -> Runtime:
    from triton_models.server.runtime import ensure_runtime

    return ensure_runtime(rayton_home(os.environ), _progress, gpu=gpu)


def _report(server: NodeServer, follower: Follower | None) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("model", "version", box=None, pad_edge=False, header_style="bold")
    for loaded in server.models:
        table.add_row(loaded.name, loaded.version)
    console.print(table if server.models else "no model is in the repository yet")
    for name, url in (("gRPC", server.grpc_url), ("HTTP", server.http_url), ("metrics", server.metrics_url)):
        console.print(f"{name:8} {url}", soft_wrap=True, highlight=False)
    if follower is not None:
        kept = f"{follower.cache.uri} in {follower.cache.folder}"
        console.print(f"{'copy':8} {kept}", soft_wrap=True, highlight=False)
    console.print(f"{'log':8} {server.options.log_file}", soft_wrap=True, highlight=False)
    if server.options.background:
        console.print(f"{'lane':8} for bulk: it takes only processor time that nobody else wants", soft_wrap=True)
    else:
        for name, caution in _cautions(server):
            console.print(f"{'caution':8} {name}: {caution}", soft_wrap=True, highlight=False, markup=False)
    console.print("ready; Ctrl-C stops the server")


def _cautions(server: NodeServer) -> Iterator[tuple[str, str]]:
    """What in the live configs makes a model unsafe for online users, with its name."""
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    from triton_models.config.cautions import sharing_cautions
    from triton_models.server import health

    with InferenceServerClient(server.grpc_url) as client:
        for model in health.current_models(server.models):
            try:
                config = health.live_config(client, model)
            except InferenceServerException as error:
                yield model.name, f"its config cannot be looked over ({error.message()})"
                continue
            for caution in sharing_cautions(config):
                yield model.name, caution


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _say(text: str) -> None:
    print(text, flush=True)


def _say_when(text: str) -> None:
    _say(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ} {text}")
