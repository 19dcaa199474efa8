"""`rayton export`. Imports nothing heavy: the root command line loads this file for every command."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status


def mount(app: typer.Typer) -> None:
    """Adds `export` to the root command line."""
    app.command(name="export")(export)


def export(
    source: Annotated[
        str,
        typer.Argument(
            help="A sentence-transformers or Hugging Face folder, package.module:factory, path/file.py:factory, or a "
            ".onnx file. A factory returns (model, example inputs).",
            show_default=False,
        ),
    ],
    name: Annotated[str, typer.Option(help="What the model is called in the repository.", show_default=False)],
    repository: Annotated[
        str, typer.Option(help="The model repository: a folder, s3:// or gs://.", show_default=False)
    ],
    max_batch_size: Annotated[int, typer.Option(help="The most rows in one request.")] = 64,
    instances: Annotated[int, typer.Option(help="Copies of the model on each device.")] = 1,
    max_tokens: Annotated[
        int | None, typer.Option(help="Cut texts at this many tokens instead of the model's own limit.")
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="The largest difference from the source that is let pass; 1e-4 for 32-bit floats."),
    ] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run Python code that lies in the model folder.")
    ] = False,
) -> None:
    """Exports a model as the next version in a Triton repository, after proving that it answers like its source."""
    from rich.console import Console

    from exporter.errors import ExportError
    from exporter.report import show
    from exporter.spec import ExportSpec
    from triton_models.config import Tuning
    from triton_models.storage import open_storage

    spec = ExportSpec(
        source,
        name,
        repository,
        max_batch_size=max_batch_size,
        max_tokens=max_tokens,
        tolerance=tolerance,
        trust_remote_code=trust_remote_code,
        tuning=Tuning(instances=instances),
    )
    storage = open_storage(repository, os.environ.get("AWS_ENDPOINT_URL"))
    # Bound to this very stream: while a library is kept quiet, sys.stderr is another one.
    progress = Console(file=sys.stderr)
    try:
        with progress.status("starting") as status:
            from exporter.export import export as run

            published = run(spec, storage, say=lambda step: _say(progress, status, step))
    except ExportError as error:
        if error.details:
            progress.print(error.details.rstrip(), style="dim", markup=False, highlight=False, soft_wrap=True)
        raise
    show(published, repository, Console())


def _say(progress: Console, status: Status, step: str) -> None:
    """A spinner on a terminal, plain lines elsewhere."""
    if progress.is_terminal:
        status.update(step)
    else:
        progress.print(f"{step} ...", markup=False, highlight=False, soft_wrap=True)
