"""Who holds and who waits."""

from __future__ import annotations

import pytest

from ray_pipeline.sharing.permits import Held, Ledger, PermitError, Wanted


@pytest.fixture
def ledger() -> Ledger:
    """Holders 1 and 2 of job a, holder 3 of job b."""
    found = Ledger()
    for holder, job in ((1, "a"), (2, "a"), (3, "b")):
        found.join(holder, job)
    return found


def test_who_of_a_job_asks_first_is_served_first(ledger: Ledger) -> None:
    for holder, number in ((2, 1), (1, 1), (2, 2)):
        ledger.ask(holder, number, 0.5)
    granted = [ledger.grant("a", 1.0) for _ in range(3)]
    assert granted == [Wanted(2, 1, 0.5), Wanted(1, 1, 0.5), Wanted(2, 2, 0.5)]
    assert ledger.in_flight == 3


def test_a_permit_that_is_given_back_says_since_when_it_was_held(ledger: Ledger) -> None:
    ledger.ask(3, 7, 0.5)
    ledger.grant("b", 2.0)
    assert ledger.give(3, 7) == Held(3, 7, "b", 0.5, 2.0)
    assert ledger.in_flight == 0


def test_who_does_not_want_to_wait_any_more_does_not_wait(ledger: Ledger) -> None:
    ledger.ask(1, 1, 0.5)
    ledger.ask(2, 1, 0.5)
    assert ledger.give(1, 1) == Wanted(1, 1, 0.5)
    assert ledger.grant("a", 0.0) == Wanted(2, 1, 0.5)


def test_permits_of_a_dead_holder_come_back_and_it_waits_no_more(ledger: Ledger) -> None:
    for number in (1, 2, 3):
        ledger.ask(1, number, 0.5)
    ledger.ask(2, 1, 0.5)
    ledger.grant("a", 1.0)
    ledger.grant("a", 1.5)
    wanted, held = ledger.leave(1)
    assert wanted == [Wanted(1, 3, 0.5)]
    assert held == [Held(1, 1, "a", 0.5, 1.0), Held(1, 2, "a", 0.5, 1.5)]
    assert ledger.in_flight == 0
    assert ledger.grant("a", 2.0) == Wanted(2, 1, 0.5)


def test_a_job_is_there_as_long_as_one_of_its_holders(ledger: Ledger) -> None:
    ledger.leave(1)
    assert ledger.is_there("a")
    ledger.leave(2)
    assert not ledger.is_there("a")
    assert ledger.is_there("b")


def test_a_permit_of_a_former_limiter_counts(ledger: Ledger) -> None:
    ledger.keep(1, 40, 0.0, 3.0)
    assert ledger.in_flight == 1
    assert ledger.give(1, 40) == Held(1, 40, "a", 0.0, 3.0)


def test_a_number_is_used_once_at_a_time(ledger: Ledger) -> None:
    ledger.ask(1, 1, 0.5)
    with pytest.raises(PermitError, match="permit 1 was asked for twice"):
        ledger.ask(1, 1, 0.5)
    ledger.grant("a", 0.0)
    with pytest.raises(PermitError, match="permit 1 was asked for twice"):
        ledger.ask(1, 1, 0.5)
    with pytest.raises(PermitError, match="permit 1 is held already"):
        ledger.keep(1, 1, 0.5, 0.0)
    ledger.give(1, 1)
    ledger.ask(1, 1, 0.5)


def test_nobody_gives_back_what_it_does_not_have(ledger: Ledger) -> None:
    ledger.ask(1, 1, 0.5)
    ledger.grant("a", 0.0)
    with pytest.raises(PermitError, match="permit 1 was given back and is not held"):
        ledger.give(2, 1)
