"""The figures of a job as Vega-Lite charts. Colours and fonts are the page's, which knows light from dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import altair as alt

from ray_pipeline.summary import units
from ray_pipeline.summary.figures import QUANTILES, BatchFigures, Figures, StageFigures
from ray_pipeline.summary.limits import CanaryBin, LimitBin
from ray_pipeline.telemetry.metrics import ROWS, SECONDS

Spec = dict[str, Any]

HEIGHT = 220
_ROW_HEIGHT = 34
_SHORTEST_S = 1e-6
_MOST_LABELS = 7
_MOST_STARTS = 50
_TIME_UNITS = ((1.0, "seconds", 300.0), (60.0, "minutes", 5 * 3600.0), (3600.0, "hours", 3 * 86400.0))
_DAYS = (86400.0, "days", math.inf)
_LATENCY = (
    "datum.value == 0 ? '0' : datum.value < 0.001 ? format(datum.value * 1e6, '.4~g') + ' µs' : "
    "datum.value < 1 ? format(datum.value * 1e3, '.4~g') + ' ms' : format(datum.value, '.4~g') + ' s'"
)
_COUNT = "format(datum.value, '~s')"  # as a format of the axis it would say 0k
_STAGES = {"read": "read", "prepare": "prepare", "permit": "wait for permit", "infer": "infer", "write": "write"}
_SILENT, _BESIDE = "bulk silent", "beside bulk"


def charts_of(figures: Figures) -> dict[str, Spec]:
    """The charts that there is something to draw for, by their ids in the page."""
    axis = _WorkAxis(figures)
    drawn: dict[str, alt.LayerChart] = {}
    if any(one.rows_per_s for one in figures.rates):
        drawn["rates"] = _rates(figures, axis)
    if figures.stages:
        drawn["stages"] = _stages(figures.stages)
    if any(figures.batches.seconds):
        drawn["latencies"] = _latencies(figures.batches)
    if any(figures.batches.rows):
        drawn["batch-rows"] = _batch_rows(figures.batches)
    if figures.limits:
        drawn["limits"] = _limits(figures.limits, axis)
    if any(one.batch_s is not None for one in figures.limits):
        drawn["limit-seconds"] = _limit_seconds(figures.limits, axis)
    if figures.canary_bins:
        drawn["canaries"] = _canaries(figures.canary_bins, axis)
    return {name: chart.to_dict() for name, chart in drawn.items()}


class _WorkAxis:
    """The time that the job has worked, in a unit that suits it, and marks where a run began after the first."""

    def __init__(self, figures: Figures) -> None:
        self.unit_s, self.name, _ = next(one for one in (*_TIME_UNITS, _DAYS) if figures.took_s <= one[2])
        self._most = figures.took_s / self.unit_s
        self._starts = [start_s / self.unit_s for start_s in figures.starts_s[1:][-_MOST_STARTS:]]

    def bins(self, series: Sequence[Any]) -> alt.InlineData:
        """The bins of a series as data, with their times in the unit of the axis."""
        rows = [asdict(one) for one in series]
        for row in rows:
            row["from"], row["to"] = row.pop("from_s") / self.unit_s, row.pop("to_s") / self.unit_s
            row["middle"] = (row["from"] + row["to"]) / 2
        return alt.InlineData(values=rows)

    def x(self, field: str) -> alt.X:
        """The channel of a field with a time."""
        scale = alt.Scale(domain=[0, self._most], nice=False)
        return alt.X(field, type="quantitative", title=f"{self.name} of work", scale=scale, axis=alt.Axis(grid=False))

    def with_runs(self, *layers: alt.Chart) -> alt.LayerChart:
        """The layers of a chart, and a line where a later run began."""
        starts = [{"start": start} for start in self._starts]
        if not starts:
            return _layered(layers)
        rule = alt.Chart(alt.InlineData(values=starts)).mark_rule(style="resumed", strokeDash=[4, 4])
        return _layered([*layers, rule.encode(x=self.x("start"), tooltip=alt.value("a run began here"))])


def _rates(figures: Figures, axis: _WorkAxis) -> alt.LayerChart:
    bars = alt.Chart(axis.bins(figures.rates)).mark_bar(binSpacing=0)
    return axis.with_runs(
        bars.encode(
            x=axis.x("from"),
            x2="to",
            y=alt.Y("rows_per_s", type="quantitative", title="rows/s", axis=alt.Axis(labelExpr=_COUNT, tickCount=5)),
            y2=alt.datum(0),
            tooltip=[_time_tip(axis), alt.Tooltip("rows_per_s", type="quantitative", title="rows/s", format=",.0f")],
        )
    )


def _stages(stages: Sequence[StageFigures]) -> alt.LayerChart:
    rows = [
        {"stage": f"{_STAGES[one.stage]}  {units.share(one.share)}", "share": one.share, "took": units.span(one.took_s)}
        for one in stages
    ]
    bars = alt.Chart(alt.InlineData(values=rows)).mark_bar(height={"band": 0.7})
    encoded = bars.encode(
        x=alt.X("share", type="quantitative", title=None, axis=alt.Axis(format="%", tickCount=5)),
        y=alt.Y("stage", type="nominal", sort=None, title=None, axis=alt.Axis(labelLimit=180)),
        tooltip=[alt.Tooltip("stage", type="nominal"), alt.Tooltip("took", type="nominal", title="time")],
    )
    return _layered([encoded], _ROW_HEIGHT * len(rows))


def _latencies(batches: BatchFigures) -> alt.LayerChart:
    # An axis of powers has no 0, and the median of what is all in the first bucket is its half.
    ends = (*SECONDS, 2 * SECONDS[-1])
    rows = [
        {"from": ends[place - 1] if place else ends[0] / 2, "to": ends[place], "batches": number}
        for place, number in _filled(batches.seconds)
    ]
    scale = alt.Scale(type="log", domain=[rows[0]["from"], rows[-1]["to"]], nice=False)
    axis = alt.Axis(labelExpr=_LATENCY, grid=False, values=_decades(rows[0]["from"], rows[-1]["to"]))
    bars = alt.Chart(alt.InlineData(values=rows)).mark_bar(binSpacing=1)
    marks = [
        {"seconds": value, "quantile": f"p{share * 100:g}  {units.latency(value)}"}
        for share, value in zip(QUANTILES, batches.quantiles_s, strict=True)
    ]
    rules = alt.Chart(alt.InlineData(values=marks)).mark_rule(strokeWidth=2)
    return _layered(
        [
            bars.encode(
                x=alt.X("from", type="quantitative", scale=scale, axis=axis, title="until a batch was answered"),
                x2="to",
                y=alt.Y("batches", type="quantitative", axis=alt.Axis(labelExpr=_COUNT, tickCount=5)),
                y2=alt.datum(0),
                tooltip=[
                    alt.Tooltip("from", type="quantitative", title="more than (s)"),
                    alt.Tooltip("to", type="quantitative", title="at most (s)"),
                    alt.Tooltip("batches", type="quantitative", format=","),
                ],
            ),
            rules.encode(
                x=alt.X("seconds", type="quantitative", scale=scale),
                color=alt.Color("quantile", type="nominal", sort=None, title=None, legend=alt.Legend(columns=2)),
                tooltip=alt.Tooltip("quantile", type="nominal", title="of batches"),
            ),
        ]
    )


def _batch_rows(batches: BatchFigures) -> alt.LayerChart:
    rows = [{"rows": _rows_label(place), "batches": number} for place, number in _filled(batches.rows)]
    bars = alt.Chart(alt.InlineData(values=rows)).mark_bar()
    encoded = bars.encode(
        x=alt.X(
            "rows",
            type="ordinal",
            sort=None,
            title="rows of a batch",
            axis=alt.Axis(labelAngle=-45, labelOverlap=False),
        ),
        y=alt.Y("batches", type="quantitative", axis=alt.Axis(labelExpr=_COUNT, tickCount=5)),
        tooltip=[
            alt.Tooltip("rows", type="nominal", title="rows"),
            alt.Tooltip("batches", type="quantitative", format=","),
        ],
    )
    return _layered([encoded])


def _limits(limits: Sequence[LimitBin], axis: _WorkAxis) -> alt.LayerChart:
    data = axis.bins(limits)
    title = "batches in flight"
    y = alt.Y("mean", type="quantitative", title=title, axis=alt.Axis(tickMinStep=1, tickCount=5))
    tips = [
        _time_tip(axis),
        *(alt.Tooltip(name, type="quantitative", format=".3~g") for name in ("least", "mean", "most")),
    ]
    band = alt.Chart(data).mark_bar(opacity=0.3, binSpacing=0)
    line = alt.Chart(data).mark_rule(strokeWidth=2)
    return axis.with_runs(
        band.encode(x=axis.x("from"), x2="to", y=alt.Y("least", type="quantitative"), y2="most", tooltip=tips),
        line.encode(x=axis.x("from"), x2="to", y=y, tooltip=tips),
    )


def _limit_seconds(limits: Sequence[LimitBin], axis: _WorkAxis) -> alt.LayerChart:
    data = axis.bins([one for one in limits if one.batch_s is not None])
    lines = alt.Chart(data).mark_rule(strokeWidth=2)
    y_axis = alt.Axis(labelExpr=_LATENCY, tickCount=5)
    return axis.with_runs(
        lines.encode(
            x=axis.x("from"),
            x2="to",
            y=alt.Y("batch_s", type="quantitative", title="a batch may take", axis=y_axis),
            tooltip=[_time_tip(axis), alt.Tooltip("batch_s", type="quantitative", title="seconds", format=".3~g")],
        )
    )


def _canaries(bins: Sequence[CanaryBin], axis: _WorkAxis) -> alt.LayerChart:
    data = axis.bins(bins)
    for row in data.values:
        row["bulk"] = _SILENT if row.pop("silent") else _BESIDE
    scale = alt.Scale(domain=[_SILENT, _BESIDE])
    legend = alt.Legend(title=None, symbolOpacity=1, symbolStrokeWidth=0, symbolSize=60)
    color = alt.Color("bulk", type="nominal", scale=scale, legend=legend)
    least = max(min(one.p5_s for one in bins), _SHORTEST_S) / 1.2
    most = max(max(one.p95_s for one in bins), _SHORTEST_S) * 1.2
    y_axis = alt.Axis(labelExpr=_LATENCY, values=_decades(least, most))
    tips = [
        _time_tip(axis),
        alt.Tooltip("bulk", type="nominal"),
        *(
            alt.Tooltip(f"p{share}_s", type="quantitative", title=f"p{share} (s)", format=".3~g")
            for share in (5, 50, 95)
        ),
    ]
    y = alt.Scale(type="log", domain=[least, most], nice=False)
    bands = alt.Chart(data).mark_rule(opacity=0.45, strokeWidth=2)
    points = alt.Chart(data).mark_point(filled=True, size=28, opacity=1)
    return axis.with_runs(
        bands.encode(
            x=axis.x("middle"),
            y=alt.Y("p5_s", type="quantitative", scale=y, title="until it was answered", axis=y_axis),
            y2="p95_s",
            color=color,
            tooltip=tips,
        ),
        points.encode(
            x=axis.x("middle"),
            y=alt.Y("p50_s", type="quantitative", scale=y),
            color=color,
            shape=alt.Shape("bulk", type="nominal", scale=scale, legend=legend),
            tooltip=tips,
        ),
    )


def _time_tip(axis: _WorkAxis) -> alt.Tooltip:
    return alt.Tooltip("from", type="quantitative", title=axis.name, format=".3~g")


def _filled(counts: Sequence[int]) -> list[tuple[int, int]]:
    """The buckets from the first with something in it to the last, with their places."""
    there = [place for place, number in enumerate(counts) if number]
    return [(place, counts[place]) for place in range(there[0], there[-1] + 1)]


def _decades(least: float, most: float) -> list[float]:
    """Round values to be named on a logarithmic axis, seven at most."""
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    inside: list[float] = []
    for digits in ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1, 3), (1,)):
        found = [round(digit * 10.0**power, 9) for power in powers for digit in digits]
        inside = [value for value in found if least <= value <= most]
        if len(inside) <= _MOST_LABELS:
            break
    return inside


def _rows_label(place: int) -> str:
    if place == len(ROWS):
        return f"> {ROWS[-1]}"
    least = ROWS[place - 1] + 1 if place else 1
    return str(ROWS[place]) if least == ROWS[place] else f"{least}–{ROWS[place]}"


def _layered(layers: Sequence[alt.Chart], height: int = HEIGHT) -> alt.LayerChart:
    # The last label of an axis may be wider than what is right of its tick.
    padding = {"left": 4, "top": 4, "right": 14, "bottom": 4}
    return alt.LayerChart(layer=list(layers), width="container", height=height, padding=padding)
