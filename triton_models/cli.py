"""`rayton serve` and `rayton runtime`: the server of this machine on the command line."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triton_models.home import rayton_home

if TYPE_CHECKING:
    from types import FrameType

    from triton_models.server.process import NodeServer
    from triton_models.server.runtime import Runtime

# What needs time to import (grpc, numpy, pyarrow, rich) is imported by the commands that use it.

runtime_app = typer.Typer(help="The embedded server's private environment.", no_args_is_help=True)

Gpu = Annotated[bool, typer.Option("--gpu", help="With CUDA, for a machine that has an NVIDIA GPU.")]


def mount(app: typer.Typer) -> None:
    """Adds `serve` and `runtime` to a command line."""
    app.command()(serve)
    app.add_typer(runtime_app, name="runtime")


def serve(
    repository: Annotated[str, typer.Option(help="The folder that holds the models.")],
    model: Annotated[list[str] | None, typer.Option(help="Serve this model; may be repeated. All by default.")] = None,
    address: Annotated[str, typer.Option(help="Where to listen; only this machine by default.")] = "127.0.0.1",
    http_port: Annotated[int, typer.Option(help="0 takes any free port.")] = 8000,
    grpc_port: Annotated[int, typer.Option(help="0 takes any free port.")] = 8001,
    metrics_port: Annotated[int, typer.Option(help="0 takes any free port.")] = 8002,
    tritonserver: Annotated[Path | None, typer.Option(help="Run this server instead of the embedded one.")] = None,
    log_file: Annotated[Path | None, typer.Option(help="Triton's own log; below RAYTON_HOME by default.")] = None,
    exit_timeout_s: Annotated[int, typer.Option(min=0, help="How long requests may take after SIGTERM.")] = 30,
    start_timeout_s: Annotated[float, typer.Option(min=1, help="How long the models may take to load.")] = 600.0,
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="Listen on any address all the same.")] = False,
    probe: Annotated[bool, typer.Option(help="Send one request to each model before it counts as ready.")] = True,
    gpu: Gpu = False,
) -> None:
    """Serve the models of a repository on this machine until Ctrl-C or SIGTERM."""
    from triton_models.server.options import ServerOptions
    from triton_models.server.process import NodeServer
    from triton_models.server.register import registered

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    options = ServerOptions(
        repository=_local_folder(repository),
        log_file=log_file or rayton_home(os.environ) / "logs" / f"tritonserver-{os.getpid()}.log",
        models=tuple(model) if model else None,
        address=address,
        http_port=http_port,
        grpc_port=grpc_port,
        metrics_port=metrics_port,
        exit_timeout_s=exit_timeout_s,
        start_timeout_s=start_timeout_s,
        probe=probe,
        allow_remote=allow_remote,
    )
    try:
        with (
            NodeServer.start(tritonserver or _runtime(gpu), options) as server,
            registered(rayton_home(os.environ), server.options.grpc_port, str(options.repository.absolute())),
        ):
            _report(server)
            _serve_until_stopped(server)
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


class StopRequested(BaseException):
    """SIGTERM or Ctrl-C. Not an Exception: no one but `serve` may catch it."""


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise StopRequested


def _serve_until_stopped(server: NodeServer) -> None:
    from triton_models.errors import ServerError

    try:
        status = server.wait()
    except StopRequested:
        _say(
            f"stopping: requests in flight have {server.options.exit_timeout_s} s to finish; once more to stop at once"
        )
        raise
    raise ServerError(f"the server ended by itself with status {status}; its log is {server.options.log_file}")


def _runtime(gpu: bool) -> Runtime:
    from triton_models.server.runtime import ensure_runtime

    return ensure_runtime(rayton_home(os.environ), _progress, gpu=gpu)


def _local_folder(repository: str) -> Path:
    from triton_models.server.errors import StartError

    if "://" in repository and not repository.startswith("file://"):
        raise StartError(
            f"{repository} is not on this machine, and only a local folder can be served for now; "
            "copy the models into one and give that"
        )
    return Path(repository.removeprefix("file://")).expanduser()


def _report(server: NodeServer) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("model", "version", box=None, pad_edge=False, header_style="bold")
    for loaded in server.models:
        table.add_row(loaded.name, loaded.version)
    console.print(table if server.models else "no model is in the repository yet")
    for name, url in (("gRPC", server.grpc_url), ("HTTP", server.http_url), ("metrics", server.metrics_url)):
        console.print(f"{name:8} {url}", soft_wrap=True, highlight=False)
    console.print(f"{'log':8} {server.options.log_file}", soft_wrap=True, highlight=False)
    console.print("ready; Ctrl-C stops the server")


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _say(text: str) -> None:
    print(text, flush=True)
