"""The metrics of a job: the one list that workers count by, and that dashboards and alerts are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SECONDS = tuple(
    round(digit * 10**power, 6) for power in range(-3, 2) for digit in (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
)  # 1 ms to 70 s
"""The upper ends of the buckets of latencies, in seconds; one more bucket holds what is longer."""

ROWS = tuple(2**power for power in range(13))
"""The upper ends of the buckets of batch sizes, in rows; one more bucket holds what is larger."""


@dataclass(frozen=True)
class Metric:
    """One metric. `tags` are its labels beside `job`, the output folder, and `node`, the address of a node.

    `buckets` are the upper ends of those of a histogram.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    tags: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def exported(self) -> str:
        """Its name at the endpoint of Ray, which puts `ray_` before each."""
        return f"ray_{self.name}_total" if self.kind == "counter" else f"ray_{self.name}"


COMMITTED_ROWS = Metric("rayton_rows", "counter", "Rows of committed chunks: scored, or rejected.", ("outcome",))
REJECTED_ROWS = Metric("rayton_rejected_rows", "counter", "Rejected rows by their reason.", ("stage", "error"))
COMMITTED_PARTS = Metric("rayton_parts", "counter", "Chunks that were committed.")
PART_BYTES = Metric("rayton_part_bytes", "counter", "Bytes of the data parts that were written.")
STAGE_SECONDS = Metric(
    "rayton_stage_seconds",
    "counter",
    "Seconds of chunks: read, prepare, permit, infer, write.",
    ("stage",),
)
BATCHES = Metric(
    "rayton_batches",
    "counter",
    "Batches that have ended: answered at once, sent again as the server was away, or refused.",
    ("model", "outcome"),
)
BATCH_SECONDS = Metric(
    "rayton_batch_seconds", "histogram", "Seconds until a batch was answered at once.", ("model",), SECONDS
)
BATCH_ROWS = Metric("rayton_batch_rows", "histogram", "Rows of a batch.", ("model",), ROWS)
BATCH_BYTES = Metric("rayton_batch_bytes", "counter", "Bytes of the input tensors that were sent.", ("model",))
IN_FLIGHT = Metric("rayton_batches_in_flight", "gauge", "Batches at the server now: the permits in use.")
LIMIT_BATCHES = Metric("rayton_limit_batches", "gauge", "Batches that may be at the server now; 0: none.")
LIMIT_SECONDS = Metric("rayton_limit_batch_seconds", "gauge", "Seconds that a batch may run now; -1 without a bound.")
LIMIT_CHANGES = Metric("rayton_limit_changes", "counter", "Changes of what a job may do at the server.")
ONLINE_SECONDS = Metric(
    "rayton_online_seconds",
    "histogram",
    "Seconds that the limiter's canary, a request like that of a user, waited: beside bulk, or while it was silent.",
    ("bulk",),
    SECONDS,
)

METRICS = (
    COMMITTED_ROWS,
    REJECTED_ROWS,
    COMMITTED_PARTS,
    PART_BYTES,
    STAGE_SECONDS,
    BATCHES,
    BATCH_SECONDS,
    BATCH_ROWS,
    BATCH_BYTES,
    IN_FLIGHT,
    LIMIT_BATCHES,
    LIMIT_SECONDS,
    LIMIT_CHANGES,
    ONLINE_SECONDS,
)
"""All of them."""
