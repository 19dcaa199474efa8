"""Users who come and go, servers that slow down and die, signals that lie."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median

import numpy as np
import pytest

from ray_pipeline.sharing.limit import Bound
from tests.simulation.trial import Trial, medians, trial, users_at
from tests.simulation.world import Machine, World

BOUND = Bound(0.95, max_slowdown=3)
BURST_S, OVER_S = 50.0, 70.0
SEEDS = range(3)


def burst(now_s: float) -> float:
    return users_at(0.8 if BURST_S <= now_s < OVER_S else 0.1)


@pytest.fixture(scope="module")
def bursts() -> list[Trial]:
    return [trial(BOUND, burst, seconds=100.0, seed=seed) for seed in SEEDS]


def test_bulk_gives_way_to_a_burst_within_a_second(bursts: list[Trial]) -> None:
    left = 0.2 * bursts[0].exclusive_rows_per_s
    assert median(one.shared.rate(BURST_S + 1, BURST_S + 2) for one in bursts) <= left
    assert median(one.shared.rate(BURST_S + 2, OVER_S) for one in bursts) <= 1.3 * left


def test_users_of_a_burst_wait_no_longer_than_they_may(bursts: list[Trial]) -> None:
    assert median(one.slowdown(0.95, BURST_S + 2, OVER_S) for one in bursts) <= 3


def test_bulk_is_back_within_ten_seconds_after_a_burst(bursts: list[Trial]) -> None:
    for one in bursts:
        before = one.shared.rate(30, BURST_S)
        back = [start for start in range(int(OVER_S), 90) if one.shared.rate(start, start + 3) >= 0.8 * before]
        assert back[0] <= OVER_S + 7  # and so until second 10


def test_a_day_is_followed() -> None:
    """Users between 5 and 65 % of the server, up and down within minutes."""
    one = trial(BOUND, lambda now: users_at(0.35 - 0.3 * math.cos(2 * math.pi * now / 120)), seconds=240.0)
    for start in range(10, 240, 20):
        assert one.slowdown(0.95, start, start + 20) <= 4.5
    assert one.slowdown(0.95) <= 3.3
    assert one.share >= 0.65 * 0.6


def test_a_server_that_grows_slower_by_itself_is_followed_and_not_more() -> None:
    slower = Machine(slowness=lambda now: 1 + now / 200)
    one = trial(BOUND, users_at(0.1), seconds=200.0, machine=slower)
    assert one.slowdown(0.95, 20) <= 3.3
    batch_s = [limit.batch_s for moment, limit in one.shared.limits if limit.in_flight == 1 and moment > 150]
    assert max(batch_s) <= 2.5 * 0.035


def test_a_steady_overload_does_not_become_the_usual() -> None:
    """What bulk causes is never taken for how fast the server is: batches do not grow from hour to hour."""
    trials = [trial(BOUND, users_at(0.3), seconds=400.0, seed=seed) for seed in range(7)]
    (growth,) = medians(trials, lambda t: t.shared.quantile(0.95, 300, 400) / t.shared.quantile(0.95, 20, 120))
    assert growth <= 1.1


@pytest.mark.parametrize("noise", [0.3, 0.5])
def test_noisy_servers(noise: float) -> None:
    machine = Machine(noise=noise)
    trials = [trial(BOUND, users_at(0.15), seconds=200.0, machine=machine, seed=seed) for seed in SEEDS]
    p95, share = medians(trials, lambda t: t.slowdown(0.95), lambda t: t.share)
    assert p95 <= 3.5
    assert share >= 0.5


def stumbling(seed: int, seconds: float) -> Callable[[float], float]:
    """A machine that does something else every few seconds, for a moment: three times as slow then on average."""
    random = np.random.default_rng(seed)
    starts = np.cumsum(random.exponential(3.0, int(seconds)))
    ends, slowness = starts + random.exponential(0.15, len(starts)), 1 + random.exponential(2.0, len(starts))

    def slowness_at(now_s: float) -> float:
        last = int(np.searchsorted(starts, now_s, side="right")) - 1
        return float(slowness[last]) if last >= 0 and now_s < ends[last] else 1.0

    return slowness_at


def test_a_server_that_stumbles() -> None:
    """Half a minute after a job came: what is known are a few looks, some of them in bad moments."""
    trials = [
        trial(BOUND, users_at(0.12), seconds=50.0, machine=Machine(slowness=stumbling(seed, 50.0)), seed=seed)
        for seed in range(9)
    ]
    p95, share = medians(trials, lambda t: t.slowdown(0.95), lambda t: t.share / 0.88)
    print(f"p95 {p95:.2f}, bulk {share:.2f} of what is left")
    assert p95 <= 2.9
    assert share >= 0.78


def lying(answer: Callable[[float, float | None], float | None]) -> Callable[[World], None]:
    def disturb(world: World) -> None:
        world.lie = answer

    return disturb


def test_a_canary_that_is_always_at_once_back_stops_bulk_rather_than_users() -> None:
    one = trial(BOUND, users_at(0.12), disturb=lying(lambda now, _: 0.0001))
    assert one.slowdown(0.95) <= 3


def test_canaries_that_are_dropped_stop_bulk_and_are_tried_again() -> None:
    one = trial(BOUND, users_at(0.12), disturb=lying(lambda now, _: None if 30 < now < 60 else 0.009))
    assert one.shared.rate(35, 60) <= 0.17 * one.shared.rate(10, 30)
    assert one.shared.rate(75, 100) >= 0.8 * one.shared.rate(10, 30)


@pytest.mark.parametrize(("instances", "slowdown"), [(1, 3.0), (2, 1.5)])
def test_bulk_that_was_too_slow_for_users_is_tried_again(instances: int, slowdown: float) -> None:
    """For half a minute canaries wait twenty times as long wherever bulk is; later they do not."""

    def disturb(world: World) -> None:
        def answered(now: float, seconds: float | None) -> float | None:
            return seconds if seconds is None or not 30 < now < 60 or world.in_flight == 0 else 20 * seconds

        world.lie = answered

    machine = Machine(instances=instances)
    bound, users = Bound(0.95, max_slowdown=slowdown), users_at(0.12, machine)
    trials = [trial(bound, users, 200.0, machine, seed, disturb) for seed in range(5)]
    (during, later) = medians(
        trials,
        lambda t: t.shared.rate(35, 60) / t.shared.rate(10, 30),
        lambda t: t.shared.rate(80, 200) / t.shared.rate(10, 30),
    )
    print(f"{during:.2f} of what it was, {later:.2f} later")
    assert during <= 0.35
    assert later >= 0.6


def test_without_counts_nobody_is_taken_to_be_away() -> None:
    def disturb(world: World) -> None:
        world.blind = lambda now: 40 < now < 60

    one = trial(BOUND, users_at(0.12), disturb=disturb)
    assert one.shared.rate(43, 60) == 0
    assert one.shared.rate(65, 100) >= 0.8 * one.shared.rate(10, 40)
    assert one.slowdown(0.95) <= 3.2


def test_a_server_that_is_started_again_is_learned_anew() -> None:
    def disturb(world: World) -> None:
        world.at(40.0, lambda now: world.restart(now, away_s=5.0))

    one = trial(BOUND, users_at(0.12), disturb=disturb)
    assert one.shared.rate(41, 45) == 0
    assert one.shared.rate(60, 100) >= 0.8 * one.shared.rate(10, 40)
    assert one.shared.quantile(0.95, 60) <= 1.3 * one.shared.quantile(0.95, 10, 40)
