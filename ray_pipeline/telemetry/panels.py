"""What the dashboard shows and what alerts watch, in PromQL over the metrics of the job and of Triton."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ray_pipeline.telemetry import metrics, triton
from ray_pipeline.telemetry.metrics import Metric

Unit = Literal["short", "rowsps", "reqps", "s", "Bps", "percentunit"]
_JOBS, _RATE = '{job=~"$job"}', "$__rate_interval"


@dataclass(frozen=True)
class Query:
    """One expression, and the name of its lines; `{{tag}}` in it is filled in by Grafana."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """A chart; `note` says how to read it."""

    title: str
    note: str
    unit: Unit
    queries: tuple[Query, ...]


@dataclass(frozen=True)
class Alert:
    """What somebody should look at if it lasts for `minutes`, and what to do then."""

    name: str
    expr: str
    minutes: int
    severity: Literal["page", "ticket"]
    summary: str
    action: str


def _rate(metric: Metric, by: str = "job") -> str:
    return f"sum by ({by}) (rate({metric.exported}{_JOBS}[{_RATE}]))"


def _quantile(metric: Metric, share: float, by: str) -> str:
    return f"histogram_quantile({share}, sum by ({by}, le) (rate({metric.exported}_bucket{_JOBS}[{_RATE}])))"


def _triton(metric: str, by: str = "model") -> str:
    return f"sum by ({by}) (rate({metric}[{_RATE}]))"


def _mean_s(microseconds: str) -> str:
    return f"{_triton(microseconds)} / {_triton(triton.REQUESTS)} / 1e6"


PANELS = (
    Panel(
        "Rows",
        "Rows of committed chunks. A chunk counts when it is committed, so short stretches look uneven.",
        "rowsps",
        (Query(_rate(metrics.COMMITTED_ROWS, "job, outcome"), "{{job}} {{outcome}}"),),
    ),
    Panel(
        "Chunks and bytes",
        "Chunks that were committed since the job began, and what its data parts hold.",
        "short",
        (
            Query(f"sum by (job) ({metrics.COMMITTED_PARTS.exported}{_JOBS})", "{{job}} chunks"),
            Query(f"sum by (job) ({metrics.PART_BYTES.exported}{_JOBS})", "{{job}} bytes"),
        ),
    ),
    Panel(
        "Rejected rows by reason",
        "Rows that could not be scored, by stage and error; the output's folder `rejected` names each.",
        "rowsps",
        (Query(_rate(metrics.REJECTED_ROWS, "job, stage, error"), "{{job}} {{stage}}: {{error}}"),),
    ),
    Panel(
        "Where the time of chunks goes",
        "Seconds of chunks for each second: reading, preparing, waiting for permits, inferring, writing.",
        "short",
        (Query(_rate(metrics.STAGE_SECONDS, "job, stage"), "{{job}} {{stage}}"),),
    ),
    Panel(
        "Batches",
        "Batches that have ended: answered at once, sent again as the server was away, or refused.",
        "reqps",
        (Query(_rate(metrics.BATCHES, "job, node, outcome"), "{{job}} {{node}} {{outcome}}"),),
    ),
    Panel(
        "Latency of batches",
        "Until a batch was answered, its time in Triton's queue included.",
        "s",
        (
            Query(_quantile(metrics.BATCH_SECONDS, 0.5, "job, model"), "{{job}} {{model}} p50"),
            Query(_quantile(metrics.BATCH_SECONDS, 0.95, "job, model"), "{{job}} {{model}} p95"),
        ),
    ),
    Panel(
        "Rows of a batch, and bytes sent",
        "Beside online users batches are as small as the limit needs.",
        "short",
        (
            Query(_quantile(metrics.BATCH_ROWS, 0.5, "job, model"), "{{job}} {{model}} median rows"),
            Query(_rate(metrics.BATCH_BYTES, "job, model"), "{{job}} {{model}} bytes/s"),
        ),
    ),
    Panel(
        "Permits in use and the limit",
        "Batches at each server, and how many may be there; the limit is 0 while bulk is silent or paused.",
        "short",
        (
            Query(f"{metrics.IN_FLIGHT.exported}{_JOBS}", "{{job}} {{node}} in flight"),
            Query(f"{metrics.LIMIT_BATCHES.exported}{_JOBS}", "{{job}} {{node}} limit"),
            Query(_rate(metrics.LIMIT_CHANGES, "job, node"), "{{job}} {{node}} changes/s"),
        ),
    ),
    Panel(
        "How long a batch may run",
        "The other half of the limit; nothing is shown where there is no bound.",
        "s",
        (Query(f"{metrics.LIMIT_SECONDS.exported}{_JOBS} >= 0", "{{job}} {{node}}"),),
    ),
    Panel(
        "What online users wait",
        "The limiter's own requests of one row, beside bulk and while bulk is silent.",
        "s",
        (Query(_quantile(metrics.ONLINE_SECONDS, 0.95, "node, bulk"), "{{node}} p95, bulk {{bulk}}"),),
    ),
    Panel(
        "Triton: requests of everybody",
        "Online users and bulk together, answered and failed.",
        "reqps",
        (
            Query(_triton(triton.REQUESTS), "{{model}}"),
            Query(_triton(triton.FAILURES), "{{model}} failed"),
        ),
    ),
    Panel(
        "Triton: rows and executions",
        "Rows divided by executions is how well requests are put together.",
        "rowsps",
        (
            Query(_triton(triton.ROWS), "{{model}} rows"),
            Query(_triton(triton.EXECUTIONS), "{{model}} executions"),
        ),
    ),
    Panel(
        "Triton: time of a request",
        "The mean over everybody's requests, and the part of it in the queue.",
        "s",
        (
            Query(_mean_s(triton.REQUEST_US), "{{model}}"),
            Query(_mean_s(triton.QUEUE_US), "{{model}} queued"),
        ),
    ),
    Panel(
        "Triton: requests that wait",
        "In the queues of all models now.",
        "short",
        (Query(f"sum by (model) ({triton.PENDING})", "{{model}}"),),
    ),
)
"""All charts, in reading order."""


def _lately(metric: Metric, minutes: int, tags: str = "", by: str = "job") -> str:
    return f"sum by ({by}) (increase({metric.exported}{tags}[{minutes}m]))"


def _users_p95(bulk: str) -> str:
    rate = f'rate({metrics.ONLINE_SECONDS.exported}_bucket{{bulk="{bulk}"}}[10m])'
    return f"histogram_quantile(0.95, sum by (node, le) ({rate}))"


ALERTS = (
    Alert(
        "RaytonJobStandsStill",
        f"{_lately(metrics.COMMITTED_ROWS, 15)} == 0 and sum by (job) ({metrics.IN_FLIGHT.exported}) > 0",
        5,
        "page",
        "{{ $labels.job }} has batches at a server but has committed nothing for 15 minutes",
        "look at `rayton watch`, then at the server's log; a job with very large chunks needs a longer alert",
    ),
    Alert(
        "RaytonServerAway",
        f'{_lately(metrics.BATCHES, 5, """{outcome="sent_again"}""", "job, node")} > 0',
        10,
        "page",
        "batches of {{ $labels.job }} get no answer on {{ $labels.node }} and are sent again",
        "see whether Triton on that node lives and is ready (`rayton doctor HOST:PORT`)",
    ),
    Alert(
        "RaytonManyRejected",
        f'{_lately(metrics.COMMITTED_ROWS, 15, """{outcome="rejected"}""")} '
        f"/ {_lately(metrics.COMMITTED_ROWS, 15)} > 0.05",
        5,
        "ticket",
        "more than 5 % of the rows of {{ $labels.job }} were rejected in 15 minutes",
        "the output's folder `rejected` says why; `max_rejected` in the job file ends such a job by itself",
    ),
    Alert(
        "RaytonUsersWait",
        f"{_users_p95('running')} > 3 * {_users_p95('silent')}",
        10,
        "page",
        "online users of {{ $labels.node }} wait more than 3 times as long beside bulk (p95)",
        "`rayton limit OUTPUT 1` or `rayton pause OUTPUT`; then lower `max_slowdown`, or give bulk a lane of its own",
    ),
    Alert(
        "RaytonBulkHeldBack",
        f"max by (job, node) (max_over_time({metrics.LIMIT_BATCHES.exported}[15m])) == 0",
        15,
        "ticket",
        "{{ $labels.job }} may send nothing to {{ $labels.node }} for half an hour",
        "the cause is in the limiter's log on that node; a job that was paused by hand wants `rayton resume`",
    ),
    Alert(
        "TritonRequestsFail",
        f"sum by (model) (rate({triton.FAILURES}[5m])) > 0.01 * sum by (model) (rate({triton.REQUESTS}[5m]))",
        5,
        "page",
        "more than 1 % of the requests for {{ $labels.model }} fail",
        "Triton's log says why; a new version may be to blame: `rayton models rollback`",
    ),
    Alert(
        "TritonAway",
        'up{job="triton"} == 0',
        2,
        "page",
        "Triton at {{ $labels.instance }} does not answer",
        "jobs wait for it, then go on on other nodes; online users do not",
    ),
)
"""All alerts."""
