"""`rayton score`, and what tells of its jobs: `rayton plan`, `status`, `watch`, `report` and `verify`."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

JobFile = Annotated[Path, typer.Argument(help="The job file (TOML).", metavar="JOB.toml")]
OutputUri = Annotated[str, typer.Argument(help="The output folder of a job.", metavar="OUTPUT")]
EndpointUrl = Annotated[
    str | None,
    typer.Option(envvar="AWS_ENDPOINT_URL", help="Where an S3-compatible store answers that is not Amazon's."),
]


def mount(app: typer.Typer) -> None:
    """Adds the commands of this package."""
    for command in (score, plan, status, watch, report, verify, pause, resume, limit):
        app.command()(command)


def score(
    job: JobFile,
    ray_address: Annotated[
        str | None,
        typer.Option(envvar="RAY_ADDRESS", help="A running Ray cluster; without one Ray is started on this machine."),
    ] = None,
    refresh: Annotated[bool, typer.Option(help="Also score objects that are new since the job was planned.")] = False,
    rescore_changed: Annotated[
        bool, typer.Option(help="As --refresh, and replace the rows of objects that have changed.")
    ] = False,
    retry_rejected: Annotated[bool, typer.Option(help="Also score the rejected rows again.")] = False,
    metrics_port: Annotated[
        int | None,
        typer.Option(help="Where the Ray that is started here offers metrics to Prometheus.", min=1, max=65535),
    ] = None,
    otlp_endpoint: Annotated[
        str | None,
        typer.Option(
            envvar="OTEL_EXPORTER_OTLP_ENDPOINT",
            help="An OpenTelemetry collector, as http://localhost:4317: it gets a trace of each chunk.",
        ),
    ] = None,
) -> None:
    """Score every row of a bucket. Run it again to resume: what is committed is not scored twice."""
    from rich.console import Console

    from ray_pipeline.interrupt import interruptible

    console = Console()
    with interruptible(partial(console.print, highlight=False, markup=False, soft_wrap=True)):
        _score(console, job, ray_address, (refresh, rescore_changed, retry_rejected), (otlp_endpoint, metrics_port))


def _score(
    console: Console,
    job: Path,
    ray_address: str | None,
    again: tuple[bool, bool, bool],
    telemetry: tuple[str | None, int | None],
) -> None:
    from ray_pipeline.spec import load_job

    spec = load_job(job)  # before Ray is imported: a mistake in the file is told at once
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Else Ray reads and prepares what it can, whatever is scored, until half of its memory for objects is full.
    os.environ.setdefault("RAY_DATA_DOWNSTREAM_CAPACITY_OBJECT_STORE_BUDGET_UTIL_THRESHOLD", "0")
    if ray_address is None:
        # Ray's switch between one machine and many, in spite of its name: on one it listens on loopback.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # It runs the code of whoever can name its token, which by default lies in the home of its user.
        if not any(name.startswith("RAY_AUTH_") for name in os.environ):
            os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token_hex()}

    from ray_pipeline.job import Again, run_job
    from ray_pipeline.report import Report
    from ray_pipeline.telemetry.tell import Telemetry
    from triton_models.home import rayton_home

    report = Report(console, spec.output.uri)
    run_job(spec, rayton_home(os.environ), ray_address, report, Again(*again), Telemetry(*telemetry))


def plan(job: JobFile) -> None:
    """Say what `rayton score JOB.toml` would do: chunks, rows, bytes, what is done. Starts and writes nothing."""
    from rich.console import Console

    from ray_pipeline.overview import Overview
    from ray_pipeline.progress import planned
    from ray_pipeline.spec import load_job

    spec = load_job(job)
    Overview(Console(), spec.output.uri).planned(planned(spec))


def status(output: OutputUri, endpoint_url: EndpointUrl = None) -> None:
    """Say how far the job of an output folder is, from any machine, whether it runs or not."""
    from rich.console import Console

    from ray_pipeline.overview import Overview
    from ray_pipeline.progress import status as progress_of

    claim, progress = progress_of(output, endpoint_url)
    Overview(Console(), output).status(claim, progress)


def watch(output: OutputUri, endpoint_url: EndpointUrl = None) -> None:
    """Show the job of an output folder as it goes: rows/s, nodes, limits, rejected rows; until it is complete."""
    from rich.console import Console

    from ray_pipeline.watching import watch as watched

    watched(output, endpoint_url, Console())


def report(
    output: OutputUri,
    html: Annotated[
        Path | None, typer.Option(help="Where the page goes; rayton-report-NAME.html in this folder if not said.")
    ] = None,
    price_per_node_hour: Annotated[
        float | None, typer.Option(min=0, help="What an hour of a node that scores costs: the page tells what all did.")
    ] = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Write how the job of an output folder goes, or has gone, as one HTML page that needs no network."""
    from ray_pipeline.summary.folder import read_job
    from ray_pipeline.summary.page import page_of, write_page

    job = read_job(output, endpoint_url)
    path = (html or Path(f"rayton-report-{job.name}.html")).absolute()
    write_page(path, page_of(job, price_per_node_hour))
    print(f"report  {path}", flush=True)


def verify(output: OutputUri, endpoint_url: EndpointUrl = None) -> None:
    """Read the whole output of a complete job again: every part is there, unchanged, and the rows add up."""
    from rich.console import Console

    from ray_pipeline.overview import Overview
    from ray_pipeline.progress import verify as checked

    Overview(Console(), output).verified(checked(output, endpoint_url))


def pause(output: OutputUri, endpoint_url: EndpointUrl = None) -> None:
    """Let the job of an output folder send no more batches, wherever it runs, until `rayton resume`."""
    _steer(output, endpoint_url, "paused; `rayton resume` lets it go on", paused=True)


def resume(output: OutputUri, endpoint_url: EndpointUrl = None) -> None:
    """Let a paused job go on."""
    _steer(output, endpoint_url, "goes on", paused=False)


def limit(
    output: OutputUri,
    most_in_flight: Annotated[
        int | None, typer.Argument(min=0, help="Batches in flight at each node; leave it out for no limit by hand.")
    ] = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Limit the batches that the job of an output folder has in flight at each node, beyond what online users need."""
    said = "no limit by hand any more" if most_in_flight is None else f"at most {most_in_flight} in flight at each node"
    _steer(output, endpoint_url, said, most_in_flight=most_in_flight)


def _steer(output: str, endpoint_url: str | None, said: str, **changes: int | None) -> None:
    from ray_pipeline.output.steering import steer

    steer(output, endpoint_url, **changes)
    print(
        f"{output}: {said}; a job that runs beside online users, with [sharing], hears of it within seconds", flush=True
    )
