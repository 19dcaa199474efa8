"""Where metrics go: to Ray, which offers them to Prometheus at each node, or nowhere."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, Protocol

from ray_pipeline.telemetry.metrics import Metric


class Meter(Protocol):
    """Takes the values of metrics, from any thread; `tags` are those that the metric has of its own."""

    def add(self, metric: Metric, value: float, **tags: str) -> None:
        """A counter grows."""
        ...

    def set(self, metric: Metric, value: float) -> None:
        """A gauge has another value."""
        ...

    def observe(self, metric: Metric, value: float, **tags: str) -> None:
        """A histogram gets a value."""
        ...


class NoMeter:
    """Nobody looks."""

    def add(self, metric: Metric, value: float, **tags: str) -> None:
        """Forgets it."""

    def set(self, metric: Metric, value: float) -> None:
        """Forgets it."""

    def observe(self, metric: Metric, value: float, **tags: str) -> None:
        """Forgets it."""


class RayMeter:
    """Ray's metrics of this process, for a `job` on a `node`.

    Ray offers them at the metrics port of each node where its extra `default` is installed; elsewhere they end in
    nothing.
    """

    def __init__(self, job: str, node: str) -> None:
        self._always = {"job": job, "node": node}

    def add(self, metric: Metric, value: float, **tags: str) -> None:
        """A counter grows; by 0 it stays, and Ray takes no 0."""
        if value > 0:
            _of(metric).inc(value, {**self._always, **tags})

    def set(self, metric: Metric, value: float) -> None:
        """A gauge has another value; one without bound is -1."""
        _of(metric).set(-1.0 if math.isinf(value) else value, self._always)

    def observe(self, metric: Metric, value: float, **tags: str) -> None:
        """A histogram gets a value."""
        _of(metric).observe(value, {**self._always, **tags})


def node_address() -> str:
    """The address by which people know the node of this process."""
    from ray.util import get_node_ip_address

    return str(get_node_ip_address())  # type: ignore[no-untyped-call]


@cache
def _of(metric: Metric) -> Any:
    """Ray's own object, one in a process for all jobs and nodes."""
    from ray.util.metrics import Counter, Gauge, Histogram  # who only scores chunks needs no Ray

    tags = ("job", "node", *metric.tags)
    if metric.kind == "histogram":
        return Histogram(metric.name, metric.help, list(metric.buckets), tags)
    return (Counter if metric.kind == "counter" else Gauge)(metric.name, metric.help, tags)
