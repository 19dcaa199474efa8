"""What an actor counts, for its chunk and for the meter."""

from __future__ import annotations

import math
from collections import Counter

from ray_pipeline.sharing.limit import Limit
from ray_pipeline.telemetry import metrics
from ray_pipeline.telemetry.metrics import ROWS, SECONDS, Metric
from ray_pipeline.telemetry.tally import Tally


class Meter:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.sums: Counter[tuple[str, ...]] = Counter()
        self.values: dict[str, float] = {}

    def add(self, metric: Metric, value: float, **tags: str) -> None:
        self.sums[(metric.name, *tags.values())] += value  # type: ignore[assignment]

    def set(self, metric: Metric, value: float) -> None:
        self.values[metric.name] = value

    def observe(self, metric: Metric, value: float, **tags: str) -> None:
        self.sums[(metric.name, *tags.values())] += 1


def test_batches_are_counted_by_how_they_end() -> None:
    tally = Tally(meter := Meter()).chunk()
    for _ in range(3):
        tally.sent("m", 32, 1000, permit_s=0.5)
    assert meter.values[metrics.IN_FLIGHT.name] == 3
    tally.answered("m", 32, 0.004, 0.5)
    tally.sent_again("m")
    tally.refused("m")

    found = tally.taken()
    assert (found.count, found.sent_again, found.refused, found.bytes, found.permit_s) == (3, 1, 1, 3000, 1.5)
    assert found.rows[ROWS.index(32)] == 3
    assert found.seconds[SECONDS.index(0.005)] == sum(found.seconds) == 1
    assert meter.values[metrics.IN_FLIGHT.name] == 0
    assert meter.sums[(metrics.BATCHES.name, "m", "answered")] == 1
    assert meter.sums[(metrics.BATCHES.name, "m", "sent_again")] == 1
    assert meter.sums[(metrics.BATCHES.name, "m", "refused")] == 1
    assert meter.sums[(metrics.BATCH_BYTES.name, "m")] == 3000


def test_each_chunk_begins_anew() -> None:
    tally = Tally()
    first = tally.chunk()
    first.sent("m", 1, 10, 0.0)
    tally.limited(Limit(1, 0.05, "users are online"))
    tally.canary(0.02, silent=False)
    first.taken()
    found = tally.chunk().taken()
    assert (found.count, found.bytes, found.limits, found.canaries, sum(found.rows)) == (0, 0, (), (), 0)


def test_chunks_that_are_scored_at_the_same_time_count_their_own_batches() -> None:
    tally = Tally(meter := Meter())
    one, other = tally.chunk(), tally.chunk()
    one.sent("m", 1, 10, 0.0)
    other.sent("m", 1, 20, 0.0)
    assert meter.values[metrics.IN_FLIGHT.name] == 2
    one.answered("m", 1, 0.1, 0.0)
    assert (one.taken().bytes, other.taken().bytes) == (10, 20)
    assert meter.values[metrics.IN_FLIGHT.name] == 1


def test_limits_and_canaries_are_kept_in_order() -> None:
    tally = Tally(meter := Meter())
    tally.limited(Limit(0, 0.0, "bulk is silent"))
    tally.limited(Limit(16, math.inf, "nobody is online", users_online=False))
    tally.canary(0.02, silent=True)
    tally.canary(0.04, silent=False)
    found = tally.chunk().taken()
    assert [(one.in_flight, one.batch_s, one.cause) for one in found.limits] == [
        (0, 0.0, "bulk is silent"),
        (16, None, "nobody is online"),
    ]
    assert [(one.took_s, one.silent) for one in found.canaries] == [(0.02, True), (0.04, False)]
    assert meter.values[metrics.LIMIT_BATCHES.name] == 16
    assert meter.sums[(metrics.LIMIT_CHANGES.name,)] == 2
    assert meter.sums[(metrics.ONLINE_SECONDS.name, "silent")] == 1


def test_only_a_traced_job_keeps_every_batch() -> None:
    for each, wanted in ((False, 0), (True, 1)):
        tally = Tally(each=each).chunk()
        tally.sent("m", 4, 10, 0.25)
        tally.answered("m", 4, 0.1, 0.25)
        kept = tally.taken().each
        assert len(kept) == wanted
        assert [(one.rows, one.took_s, one.permit_s) for one in kept] == [(4, 0.1, 0.25)] * wanted


def test_what_is_beyond_all_buckets_is_in_the_last() -> None:
    tally = Tally().chunk()
    tally.sent("m", 10**6, 0, 0.0)
    tally.answered("m", 10**6, 1000.0, 0.0)
    found = tally.taken()
    assert (found.rows[-1], found.seconds[-1]) == (1, 1)
