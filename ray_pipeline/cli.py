"""`rayton score`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def mount(app: typer.Typer) -> None:
    """Adds the commands of this package."""
    app.command()(score)


def score(
    job: Annotated[Path, typer.Argument(help="The job file (TOML).", metavar="JOB.toml")],
    ray_address: Annotated[
        str | None,
        typer.Option(envvar="RAY_ADDRESS", help="A running Ray cluster; without one Ray is started on this machine."),
    ] = None,
) -> None:
    """Score every row of a bucket. Run it again to resume: what is committed is not scored twice."""
    from rich.console import Console

    from ray_pipeline.spec import load_job

    spec = load_job(job)  # before Ray is imported: a mistake in the file is told at once
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if ray_address is None:
        # Ray's switch between one machine and many, in spite of its name: on one it listens on loopback.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")

    from ray_pipeline.job import run_job
    from ray_pipeline.report import Report
    from triton_models.home import rayton_home

    report = Report(Console(), spec.output.uri)
    try:
        run_job(spec, rayton_home(os.environ), ray_address, report)
    except KeyboardInterrupt:
        report.interrupted()
        raise
