"""Turns among jobs, by a clock that is only a number."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from ray_pipeline.sharing.fair import MOST_LAG_S, PRIORITY_HOLD_S, Choice, Terms, Turns


@dataclass
class Job:
    """A job that has `window` batches asked for or in flight, and needs `turnaround_s` between two.

    After each `chunk` of batches it asks for nothing for `between_chunks_s`.
    """

    name: str
    terms: Terms
    batch_s: float = 0.02
    window: int = 2
    turnaround_s: float = 0.0002
    chunk: int = 0
    between_chunks_s: float = 0.0
    comes_s: float = 0.0
    goes_s: float = 1e9
    granted: list[float] = field(default_factory=list)
    used_s: float = 0.0

    def asks_again_s(self, now_s: float) -> float:
        between_chunks = self.chunk > 0 and len(self.granted) % self.chunk == 0
        return now_s + (self.between_chunks_s if between_chunks else self.turnaround_s)

    def share_of(self, others: Sequence[Job]) -> float:
        return self.used_s / sum(job.used_s for job in others)


def simulate(
    jobs: Sequence[Job], seconds: float, permits: int = 1, surely_expected: bool = True, instances: int | None = None
) -> None:
    """Hands `permits` permits out, as the limiter does: at each event, and when it is told to ask again.

    The server has as many instances, or fewer: then batches wait for each other, in the order in which they came.
    """
    at_work_until_s = [0.0] * (instances or permits)
    turns, dice = Turns(), random.Random(0)
    events: list[tuple[float, int, str, Job, float]] = []
    count, free, again_s = 0, permits, -1.0

    def later(moment_s: float, what: str, job: Job, took_s: float = 0.0) -> None:
        nonlocal count
        count += 1
        heapq.heappush(events, (moment_s, count, what, job, took_s))

    for job in jobs:
        later(job.comes_s, "come", job)
        later(job.goes_s, "go", job)
    expected: dict[str, list[float]] = {job.name: [] for job in jobs}
    while events and (now_s := events[0][0]) < seconds:
        _, _, what, job, took_s = heapq.heappop(events)
        if what == "come":
            turns.join(job.name, job.terms, now_s)
            for _ in range(job.window):
                later(now_s, "ask", job)
        elif what == "ask" and now_s < job.goes_s:
            turns.asked(job.name, now_s)
        elif what == "give":
            free += 1
            job.used_s += took_s
            if now_s < job.goes_s:
                turns.returned(job.name, expected[job.name].pop(0), took_s, now_s)
                later(job.asks_again_s(now_s), "ask", job)
        elif what == "go":
            turns.leave(job.name)
        while (choice := turns.choose(free, now_s, idle=permits - free < len(at_work_until_s))).job is not None:
            chosen = next(one for one in jobs if one.name == choice.job)
            took_s = chosen.batch_s * dice.uniform(0.5, 1.5)
            expected[chosen.name].append(chosen.batch_s if surely_expected else 0.0)
            turns.granted(chosen.name, expected[chosen.name][-1], now_s)
            chosen.granted.append(now_s)
            free -= 1
            ends_s = max(heapq.heappop(at_work_until_s), now_s) + took_s
            heapq.heappush(at_work_until_s, ends_s)
            later(ends_s, "give", chosen, took_s)
        if choice.again_s is not None and choice.again_s != again_s:
            again_s = choice.again_s
            assert again_s > now_s
            later(again_s, "again", job)


@pytest.mark.parametrize("permits", [1, 2, 5])
@pytest.mark.parametrize("surely_expected", [True, False])
@pytest.mark.parametrize("batch_s", [0.005, 0.02, 0.2])
def test_server_time_is_shared_by_weight(permits: int, surely_expected: bool, batch_s: float) -> None:
    jobs = [
        Job("three", Terms(weight=3.0), batch_s=batch_s, window=8),
        Job("one", Terms(weight=1.0), batch_s=0.02, window=8),
    ]
    simulate(jobs, 20.0, permits, surely_expected)
    assert jobs[0].used_s / jobs[1].used_s == pytest.approx(3.0, rel=0.15)


def test_jobs_that_ask_only_after_they_have_given_back_get_their_share_too() -> None:
    jobs = [Job("three", Terms(weight=3.0), window=1), Job("one", Terms(weight=1.0), window=1)]
    simulate(jobs, 30.0)
    assert jobs[0].used_s / jobs[1].used_s == pytest.approx(3.0, rel=0.15)
    assert jobs[0].used_s + jobs[1].used_s > 0.95 * 30.0


def test_a_job_that_asks_late_gets_its_share_while_the_server_has_a_batch_to_work_at() -> None:
    three = Job("three", Terms(weight=3.0), batch_s=0.15, turnaround_s=0.05)
    one = Job("one", Terms(weight=1.0), batch_s=0.15)
    simulate([three, one], 200.0, permits=2, instances=1)
    assert three.used_s / one.used_s == pytest.approx(3.0, rel=0.15)
    assert three.used_s + one.used_s > 0.95 * 200.0


def test_a_job_that_wants_nothing_between_its_chunks_gets_its_share_all_the_same() -> None:
    three = Job("three", Terms(weight=3.0), batch_s=0.25, window=1, chunk=8, between_chunks_s=0.5)
    one = Job("one", Terms(weight=1.0), batch_s=0.25)
    simulate([three, one], 200.0)
    assert three.used_s / one.used_s == pytest.approx(3.0, rel=0.15)
    assert three.used_s + one.used_s > 0.95 * 200.0


def test_a_job_that_needs_long_between_batches_does_not_hold_up_the_others() -> None:
    jobs = [Job("slow", Terms(weight=9.0), window=1, turnaround_s=0.2), Job("steady", Terms(weight=1.0))]
    simulate(jobs, 30.0)
    assert jobs[0].used_s + jobs[1].used_s > 0.95 * 30.0


def test_nobody_starves_among_equals() -> None:
    jobs = [Job(f"job {number}", Terms(), batch_s=0.01 * (1 + number)) for number in range(5)]
    simulate(jobs, 20.0)
    assert [job.share_of(jobs) for job in jobs] == pytest.approx([0.2] * 5, rel=0.15)
    for job in jobs:
        pauses_s = [later - earlier for earlier, later in zip(job.granted, job.granted[1:], strict=False)]
        assert max(pauses_s) < 2.0


def test_a_newcomer_is_neither_ahead_nor_behind() -> None:
    jobs = [Job("old", Terms()), Job("new", Terms(), comes_s=30.0)]
    simulate(jobs, 32.0)
    shared = [sum(moment_s >= 30.0 for moment_s in job.granted) for job in jobs]
    assert shared[1] == pytest.approx(sum(shared) / 2, rel=0.15)


def test_who_was_idle_does_not_catch_up_what_it_left_to_others() -> None:
    turns = Turns()
    turns.join("busy", Terms(), 0.0)
    turns.join("idle", Terms(), 0.0)
    for step in range(100):
        turns.asked("busy", float(step))
        turns.granted("busy", 1.0, float(step))
        turns.returned("busy", 1.0, 1.0, step + 1.0)
    for job in ("busy", "idle"):
        for _ in range(20):
            turns.asked(job, 100.0)
    chosen = []
    for step in range(100, 120):
        choice = turns.choose(1, float(step), idle=True)
        assert choice.job is not None
        chosen.append(choice.job)
        turns.granted(choice.job, 1.0, float(step))
        turns.returned(choice.job, 1.0, 1.0, step + 1.0)
    assert chosen.count("idle") <= 10 + MOST_LAG_S / 2 + 1


def test_a_higher_priority_gets_all_at_the_next_decision() -> None:
    jobs = [
        Job("low", Terms(weight=9.0), window=4),
        Job("high", Terms(priority=1), comes_s=10.0, goes_s=20.0, window=4),
    ]
    simulate(jobs, 30.0, permits=2)
    low, high = jobs
    assert not [moment_s for moment_s in low.granted if 10.0 < moment_s < 20.0]
    assert min(high.granted) == pytest.approx(10.0, abs=0.03)
    assert next(moment_s for moment_s in low.granted if moment_s >= 20.0) == pytest.approx(20.0, abs=0.03)


def test_a_higher_priority_is_waited_for_between_its_batches() -> None:
    jobs = [Job("low", Terms()), Job("high", Terms(priority=1), window=1, turnaround_s=0.9 * PRIORITY_HOLD_S)]
    simulate(jobs, 10.0)
    assert jobs[0].granted == []


def test_a_higher_priority_that_wants_nothing_does_not_keep_others_out() -> None:
    turns = Turns()
    turns.join("high", Terms(priority=1), 0.0)
    turns.join("low", Terms(), 0.0)
    turns.asked("low", 0.5)
    assert turns.choose(1, 0.5, idle=True).job is None
    assert turns.choose(1, PRIORITY_HOLD_S + 0.01, idle=True) == Choice("low")


def test_a_paused_job_keeps_nobody_out_and_a_limited_one_has_no_more_than_it_may() -> None:
    turns = Turns()
    turns.join("high", Terms(priority=1), 0.0)
    turns.join("low", Terms(), 0.0)
    for job in ("low", "high", "high"):
        turns.asked(job, 0.0)
    turns.limit("high", 0)
    assert turns.choose(2, 0.0, idle=True) == Choice("low")
    turns.limit("high", 1)
    assert turns.choose(2, 0.0, idle=True) == Choice("high")
    turns.granted("high", 0.1, 0.0)
    assert turns.choose(1, 0.0, idle=True) == Choice(None)
    turns.limit("high", None)
    assert turns.choose(1, 0.0, idle=True) == Choice("high")


@pytest.mark.parametrize(("max_share", "instances"), [(0.25, 1), (0.5, 2), (0.9, 1)])
def test_a_share_of_server_time_is_kept(max_share: float, instances: int) -> None:
    jobs = [Job("some", Terms(max_share=max_share, instances=instances), window=4)]
    simulate(jobs, 20.0, permits=4)
    assert jobs[0].used_s / 20.0 == pytest.approx(max_share * instances, rel=0.03)


def test_what_a_job_may_not_have_goes_to_the_others() -> None:
    jobs = [Job("some", Terms(weight=9.0, max_share=0.2)), Job("rest", Terms())]
    simulate(jobs, 30.0)
    assert jobs[0].used_s / 30.0 == pytest.approx(0.2, rel=0.05)
    assert jobs[1].used_s / 30.0 == pytest.approx(0.8, rel=0.05)


def test_permits_of_a_job_that_died_do_not_count() -> None:
    turns = Turns()
    turns.join("dead", Terms(), 0.0)
    turns.join("alive", Terms(), 0.0)
    turns.asked("dead", 0.0)
    turns.granted("dead", 9.0, 0.0)
    turns.returned("dead", 9.0, 0.5, 0.5)
    turns.leave("dead")
    turns.asked("alive", 0.5)
    assert turns.choose(1, 0.5, idle=True) == Choice("alive")
