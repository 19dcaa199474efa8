"""`rayton doctor` and `rayton health`: a running server seen from outside. Imports nothing heavy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from triton_models.access import ControlKeyFile, TlsCa, TlsCert, TlsKey, TlsServerName, credentials_of
from triton_models.lines import progress

if TYPE_CHECKING:
    from rich.console import RenderableType

    from triton_models.doctor.examine import Examination

WIDTH = 200
"""Columns, also where a terminal has fewer: figures that wrap are better than figures that are cut off."""

Url = Annotated[str, typer.Argument(help="host:port of a running server's gRPC.", show_default=False)]


def mount(app: typer.Typer) -> None:
    """Adds `doctor` and `health` to a command line."""
    app.command()(doctor)
    app.command()(health)


def doctor(
    url: Url,
    model: Annotated[list[str] | None, typer.Option(help="Only this model; may be repeated. All by default.")] = None,
    requests: Annotated[int, typer.Option(min=1, help="Single rows for each model; a slow one gets fewer.")] = 300,
    rate: Annotated[
        float | None,
        typer.Option(min=0.1, help="Rows a second.", show_default="15 % of one instance's time, at most 50"),
    ] = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_server_name: TlsServerName = None,
    control_key_file: ControlKeyFile = None,
) -> None:
    """Measure what online users of a server see, and say whether bulk may share its models with them."""
    from rich.console import Console

    from triton_models.doctor.errors import UnsafeToShareError
    from triton_models.doctor.examine import examine

    credentials = credentials_of(tls_ca, tls_cert, tls_key, tls_server_name, control_key_file)
    found = examine(url, model or (), requests, rate, progress, credentials)
    Console(width=WIDTH).print(report(found), soft_wrap=True)
    unsafe = [one.model for one in found.models if not one.is_safe]
    if unsafe:
        raise UnsafeToShareError(
            f"not safe to share with online users: {', '.join(unsafe)} ({len(unsafe)} of {len(found.models)} "
            "examined); change what is said above, load the model again, and run the doctor again"
        )


def health(
    url: Url,
    probe: Annotated[bool, typer.Option(help="Send one request to each model; else it only has to be loaded.")] = True,
    timeout_s: Annotated[float, typer.Option(min=0.1, help="How long each question may take.")] = 10.0,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_server_name: TlsServerName = None,
    control_key_file: ControlKeyFile = None,
) -> None:
    """Ask whether a running server serves all of its models; exit status 1 if one has no version or does not answer."""
    from triton_models.doctor.health import current_models

    credentials = credentials_of(tls_ca, tls_cert, tls_key, tls_server_name, control_key_file)
    current = current_models(url, timeout_s, probe=probe, credentials=credentials)
    models = ", ".join(f"{model.name} {model.version}" for model in current)
    print(f"{url} {'answers' if probe else 'is ready'}: {models or 'no model is in the repository yet'}")


def report(found: Examination) -> RenderableType:
    """What was seen of each model, and then the verdicts with their reasons; last, what holds for the whole server."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table("model", "version", box=None, pad_edge=False, header_style="bold")
    for column in ("instances", "requests", "p50 ms", "p95 ms", "p99 ms", "max ms", "stalled", "errors"):
        table.add_column(column, justify="right")
    words: list[str] = []
    for one in found.models:
        seen = one.seen
        quantiles = [_ms(value) for value in (seen.p50_ms, seen.p95_ms, seen.p99_ms, seen.max_ms)]
        counts = [str(one.instances), str(seen.requests)]
        table.add_row(one.model, one.version, *counts, *quantiles, str(seen.stalled), str(len(seen.failures)))
        words += ["", f"{one.model}: {one.verdict}", *(f"  {line}" for line in (*one.reasons, *one.remarks))]
    if found.cautions:
        words += ["", "the server", *(f"  {line}" for line in found.cautions)]
    return Group(table, Text("\n".join(words)))


def _ms(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"
