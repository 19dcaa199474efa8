"""The dashboard for Grafana and the alert rules for Prometheus, made of the one list of metrics.

    python -m ray_pipeline.telemetry.grafana FOLDER

writes FOLDER/grafana/dashboards/rayton.json and FOLDER/prometheus/alerts.yaml.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ray_pipeline.telemetry.metrics import COMMITTED_ROWS
from ray_pipeline.telemetry.panels import ALERTS, PANELS, Alert, Panel, Query

DASHBOARD = "grafana/dashboards/rayton.json"
RULES = "prometheus/alerts.yaml"
_SOURCE = {"type": "prometheus", "uid": "${source}"}
_WIDTH, _HEIGHT, _COLUMNS = 12, 8, 2


def dashboard() -> dict[str, Any]:
    """In the form that Grafana imports (schema version 39, Grafana 10 and later)."""
    return {
        "uid": "rayton",
        "title": "Rayton",
        "description": "Jobs that score buckets, and the Triton servers that they share with online users.",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_data_source(), _jobs()]},
        "panels": [_panel(number, panel) for number, panel in enumerate(PANELS)],
    }


def rules() -> dict[str, Any]:
    """In the form that Prometheus reads."""
    return {"groups": [{"name": "rayton", "rules": [_rule(alert) for alert in ALERTS]}]}


def write(folder: Path) -> None:
    """Writes both below a folder."""
    for path, content in ((DASHBOARD, dashboard()), (RULES, rules())):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        # JSON is YAML too.
        (folder / path).write_text(json.dumps(content, indent=2) + "\n")


def _data_source() -> dict[str, Any]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _jobs() -> dict[str, Any]:
    return {
        "name": "job",
        "label": "job",
        "type": "query",
        "datasource": _SOURCE,
        "query": f"label_values({COMMITTED_ROWS.exported}, job)",
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "refresh": 2,
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, _COLUMNS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.note,
        "datasource": _SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"showLegend": True, "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [_target(place, query) for place, query in enumerate(panel.queries)],
    }


def _target(place: int, query: Query) -> dict[str, Any]:
    name = chr(ord("A") + place)
    return {"refId": name, "datasource": _SOURCE, "expr": query.expr, "legendFormat": query.legend}


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": f"{alert.minutes}m",
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "description": f"What to do: {alert.action}."},
    }


if __name__ == "__main__":
    write(Path(sys.argv[1]))
