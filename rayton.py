"""The `rayton` command: the commands of the three packages under one name."""

from __future__ import annotations

import sys

import typer

import exporter.cli
import ray_pipeline.cli
import triton_models.cli
from triton_models.errors import RaytonError

app = typer.Typer(
    help="Export a model once, serve it with Triton, score whole buckets with it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for package in (exporter, triton_models, ray_pipeline):
    package.cli.mount(app)

EXTRAS = {
    "export": "export",
    "score": "score",
    "plan": "score",
    "status": "score",
    "watch": "score",
    "report": "report",
    "verify": "score",
}
"""The extra that a command needs beside the bare installation."""


def main() -> None:
    """Runs the command line; an error meant for people is one line on stderr and exit status 1."""
    try:
        app()
    except RaytonError as error:
        fail(str(error))
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(sys.argv[1])
        if extra is None:
            raise
        fail(f"{error.name} is not installed; `rayton {sys.argv[1]}` needs more: pip install 'rayton[{extra}]'")


def fail(message: str) -> None:
    """Ends the program with a message."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
