"""`rayton runtime`: the embedded server's private environment. Imports nothing heavy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from triton_models.home import rayton_home
from triton_models.lines import progress, say

if TYPE_CHECKING:
    from triton_models.server.runtime import Runtime

runtime_app = typer.Typer(help="The embedded server's private environment.", no_args_is_help=True)

Gpu = Annotated[bool, typer.Option("--gpu", help="With CUDA, for a machine that has an NVIDIA GPU.")]


def mount(app: typer.Typer) -> None:
    """Adds `runtime` to a command line."""
    app.add_typer(runtime_app, name="runtime")


@runtime_app.command()
def install(gpu: Gpu = False) -> None:
    """Install the embedded server; does nothing if it is there."""
    from triton_models.server.runtime import assemble_backends

    runtime = installed_runtime(gpu)
    assemble_backends(runtime)  # now, because who starts servers may not be allowed to write here
    say(str(runtime.folder))


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
    say(f"folder    {runtime.folder}\npython    {runtime.python_version}\npackages  {', '.join(runtime.packages)}")


@runtime_app.command()
def remove() -> None:
    """Remove every embedded server below RAYTON_HOME."""
    from triton_models.server.runtime import remove_runtimes

    for folder in remove_runtimes(rayton_home(os.environ), progress):
        say(f"removed {folder}")


def installed_runtime(gpu: bool) -> Runtime:
    """The environment, which is made where it is not there."""
    from triton_models.server.runtime import ensure_runtime

    return ensure_runtime(rayton_home(os.environ), progress, gpu=gpu)
