"""Dashboard and alerts come from the one list of metrics, show all of it, and nothing that nobody offers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import promql_parser
import pytest

from ray_pipeline.telemetry.grafana import DASHBOARD, RULES, dashboard, rules
from ray_pipeline.telemetry.metrics import METRICS
from ray_pipeline.telemetry.panels import ALERTS, PANELS
from ray_pipeline.telemetry.triton import TRITON_METRICS

DOCKER = Path(__file__).parents[4] / "docker"
SHOWN = [query.expr for panel in PANELS for query in panel.queries]
WATCHED = [alert.expr for alert in ALERTS]
OFFERED = {metric.exported for metric in METRICS} | set(TRITON_METRICS)


def names(expr: str) -> set[str]:
    """The metrics in an expression; a histogram by its own name."""
    return {name.removesuffix("_bucket") for name in re.findall(r"(?:ray_rayton|nv)_\w+", expr)}


@pytest.mark.parametrize("expr", SHOWN + WATCHED)
def test_every_expression_is_promql_over_metrics_that_are_offered(expr: str) -> None:
    promql_parser.parse(expr.replace("$__rate_interval", "1m"))
    assert names(expr) <= OFFERED


def test_every_metric_is_shown() -> None:
    assert set().union(*map(names, SHOWN)) == OFFERED


@pytest.mark.parametrize(("path", "made"), [(DASHBOARD, dashboard()), (RULES, rules())])
def test_the_files_are_made_of_the_list(path: str, made: object) -> None:
    assert json.loads((DOCKER / path).read_text()) == made, "run: python -m ray_pipeline.telemetry.grafana docker"


def test_tags_in_expressions_are_those_of_the_metrics() -> None:
    tags = {"job", "node", "le", "model"} | {tag for metric in METRICS for tag in metric.tags}
    used = {
        tag for expr in SHOWN + WATCHED for group in re.findall(r"by \(([^)]*)\)", expr) for tag in group.split(", ")
    }
    assert used <= tags
