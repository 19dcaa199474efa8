"""`rayton watch`: a job as it goes, in the terminal of anybody who can read its output folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ray_pipeline.errors import OutputError
from ray_pipeline.output import lock, parts
from ray_pipeline.output.steering import read_steering
from ray_pipeline.output.success import Totals, read_success
from ray_pipeline.progress import opened
from ray_pipeline.report import counted, duration
from ray_pipeline.telemetry.record import Page, read_record
from ray_pipeline.telemetry.view import NodeFigures, View
from triton_models.storage import Storage

LOOK_EVERY_S = 5.0
SILENT_S = 30.0
"""After so long without a page the run is asked for a sign of life."""
_REASONS = 5


def watch(uri: str, endpoint_url: str | None, console: Console, pause: Callable[[float], None] = time.sleep) -> Totals:
    """Shows how the job of an output folder goes, until it is complete; gives its totals.

    Raises OutputError if there is no job, if its run has ended with an error, or if no run is working on it.
    """
    output, _, sink, plan = opened(uri, endpoint_url)
    rows_of = {chunk.id: chunk.rows for chunk in plan.chunks}
    view, after, news_s = View(), "", -SILENT_S
    with Live(console=console, auto_refresh=False) as live:
        while True:
            for path, page in read_record(output, after):
                view.add(page)
                after, news_s = path, time.monotonic()
            done = sum(rows_of.get(chunk, 0) for chunk in parts.committed(output, sink))
            by_hand = read_steering(output).told(output.uri)
            if console.is_terminal:
                live.update(picture(output.uri, view, done, plan.rows, time.time(), by_hand), refresh=True)
            else:
                line = "; ".join([_progress(view.nodes(time.time()), done, plan.rows), *by_hand])
                console.print(line, highlight=False, markup=False, soft_wrap=True)
            if (totals := read_success(output)) is not None:
                break
            over = view.last is not None and view.last.over
            if over or time.monotonic() - news_s >= SILENT_S:
                _check_alive(output, view.last)
                news_s = time.monotonic()
            pause(LOOK_EVERY_S)
    console.print(f"done    {counted(totals)}", highlight=False)
    return totals


def _check_alive(output: Storage, last: Page | None) -> None:
    """Raises OutputError if no run is working on a job that is not complete; `last` is the last page of its record."""
    found = lock.holder(output)
    if found is not None and lock.is_alive(output, found):
        return  # the next run, if the last page is of one that is over
    if last is not None and last.error is not None:
        raise OutputError(f"{output.uri}: its run has ended: {last.error}")
    dead = f"the run that worked on it is dead ({found})" if found is not None else "no run is working on it"
    raise OutputError(f"{output.uri}: {dead}, and it is not complete; `rayton score` with its job file goes on")


def picture(uri: str, view: View, done: int, rows: int, now_s: float, by_hand: Sequence[str]) -> RenderableType:
    """What is shown at a time of day, in seconds since 1970: how far the job is, what holds `by_hand`, its nodes, and
    what it rejects.
    """
    nodes = view.nodes(now_s)
    how_far = Table.grid(padding=(0, 2))
    how_far.add_row(ProgressBar(total=max(rows, 1), completed=done, width=40), _progress(nodes, done, rows))
    shown: list[RenderableType] = [Text(uri), how_far, *map(Text, by_hand), Text(), _nodes(nodes)]
    shown += [Text(f"{node.node}: {node.limit.cause}") for node in nodes if node.limit is not None]
    if spent := view.seconds.total():
        shares = ", ".join(f"{stage} {seconds / spent:.0%}" for stage, seconds in view.seconds.items())
        shown += [Text(), Text(f"time of chunks: {shares}")]
    if view.rejections:
        shown += [Text(), _reasons(view)]
    return Group(*shown)


def _progress(nodes: Sequence[NodeFigures], done: int, rows: int) -> str:
    rate = sum(node.rows_per_s for node in nodes)
    left = f", {duration((rows - done) / rate)} left" if rate and done < rows else ""
    return f"{done:,} of {rows:,} rows, {rate:,.0f} rows/s{left}"


def _nodes(nodes: Sequence[NodeFigures]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("node", "rows/s", "batch p50", "p95", "users p95", "in flight", "batch at most"):
        table.add_column(title, justify="left" if title == "node" else "right")
    for node in nodes:
        limit = node.limit
        table.add_row(
            node.node,
            f"{node.rows_per_s:,.0f}",
            _ms(node.batch_p50_s),
            _ms(node.batch_p95_s),
            _ms(node.user_p95_s),
            str(limit.in_flight) if limit is not None else "-",
            _ms(limit.batch_s) if limit is not None else "-",
        )
    return table


def _reasons(view: View) -> Table:
    table = Table("rejected rows", "reason", box=None, pad_edge=False, header_style="bold")
    for reason, rows in view.rejections.most_common(_REASONS):
        table.add_row(f"{rows:,}", Text(reason))
    return table


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:,.0f} ms"
