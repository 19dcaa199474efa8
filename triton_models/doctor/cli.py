"""`rayton doctor`: measure a running server. Imports nothing heavy."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from triton_models.doctor.verdict import Diagnosis

WIDTH = 200
"""Columns, also where a terminal has fewer: figures that wrap are better than figures that are cut off."""


def mount(app: typer.Typer) -> None:
    """Adds `doctor` to a command line."""
    app.command()(doctor)


def doctor(
    url: Annotated[str, typer.Argument(help="host:port of a running server's gRPC.", show_default=False)],
    model: Annotated[list[str] | None, typer.Option(help="Only this model; may be repeated. All by default.")] = None,
    requests: Annotated[int, typer.Option(min=1, help="Single rows for each model; a slow one gets fewer.")] = 300,
    rate: Annotated[
        float | None,
        typer.Option(min=0.1, help="Rows a second.", show_default="15 % of one instance's time, at most 50"),
    ] = None,
) -> None:
    """Measure what online users of a server see, and say whether bulk may share its models with them."""
    from rich.console import Console

    from triton_models.doctor.errors import UnsafeToShareError
    from triton_models.doctor.examine import examine

    found = examine(url, model or (), requests, rate, _progress)
    Console(width=WIDTH).print(report(found), soft_wrap=True)
    unsafe = [one.model for one in found if not one.is_safe]
    if unsafe:
        raise UnsafeToShareError(
            f"not safe to share with online users: {', '.join(unsafe)} ({len(unsafe)} of {len(found)} examined); "
            "change what is said above, load the model again, and run the doctor again"
        )


def report(found: Sequence[Diagnosis]) -> RenderableType:
    """What was seen of each model, and then the verdicts with their reasons."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table("model", "version", box=None, pad_edge=False, header_style="bold")
    for column in ("instances", "requests", "p50 ms", "p95 ms", "p99 ms", "max ms", "stalled", "errors"):
        table.add_column(column, justify="right")
    words: list[str] = []
    for one in found:
        seen = one.seen
        quantiles = [_ms(value) for value in (seen.p50_ms, seen.p95_ms, seen.p99_ms, seen.max_ms)]
        counts = [str(one.instances), str(seen.requests)]
        table.add_row(one.model, one.version, *counts, *quantiles, str(seen.stalled), str(len(seen.failures)))
        words += ["", f"{one.model}: {one.verdict}", *(f"  {line}" for line in (*one.reasons, *one.remarks))]
    return Group(table, Text("\n".join(words)))


def _ms(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
