"""How charts look in the light and in the dark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def theme(*, dark: bool) -> Mapping[str, Any]:
    """The configuration of Vega-Lite; its colours are told apart by most people who see few of them."""
    text, faint, line = ("#e6e6e6", "#a9adb5", "#3a3f4a") if dark else ("#1c1f24", "#5b616b", "#d9dce1")
    main, *others = (
        ("#7ab8ff", "#8bd49c", "#ffb454", "#e58fd0") if dark else ("#1f6fbf", "#2b7a43", "#c2570c", "#a23b8c")
    )
    return {
        "background": "transparent",
        "font": "system-ui, sans-serif",
        "mark": {"color": main},
        "rule": {"color": main},
        "style": {"resumed": {"color": faint}},
        "range": {"category": others},
        "view": {"stroke": "transparent"},
        "axis": {
            "labelColor": faint,
            "titleColor": faint,
            "titleFontWeight": "normal",
            "labelFontSize": 12,
            "labelOverlap": "greedy",
            "labelSeparation": 8,
            "titleFontSize": 12,
            "gridColor": line,
            "domainColor": line,
            "tickColor": line,
        },
        "legend": {"labelColor": text, "labelFontSize": 12, "orient": "top", "symbolStrokeWidth": 3},
    }
