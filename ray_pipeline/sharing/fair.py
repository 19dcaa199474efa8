"""Whose turn it is: server time is shared among jobs by weight, and a higher priority goes first.

Stride scheduling (Waldspurger and Weihl 1995): each job has a virtual time, the server time that it used divided by its
weight, and the job that is furthest behind is next. Times are seconds of a monotonic clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

PRIORITY_HOLD_S = 5.0
"""How long a job of higher priority keeps the others out after its last sign of life: longer than it needs from one
chunk to the next on a machine that has much to do."""

GRACE_S = 0.25
"""A job that asks only after it has given back is waited for, as long as its last batch was worked at and this long at
most: it would otherwise lose its turn each time to whoever happens to wait."""

IDLE_GRACE_SHARE, IDLE_GRACE_S = 0.1, 0.005
"""Where an instance has nothing to do meanwhile: this part of its last batch, and this long at most."""

MOST_LAG_S = 3.0
"""The server time that a job which did not always wait may be behind, as between two chunks: it is made up for no more
than that."""

BURST_S = 0.25
"""Of its share of server time, what a job may have left over for later, in seconds of the clock."""

_NOTHING_S = 1e-9
_LEAST_S = 1e-4


@dataclass(frozen=True)
class Terms:
    """What a job may have; `max_share` is a part of the time of `instances` instances, 1 being no limit."""

    weight: float = 1.0
    priority: int = 0
    max_share: float = 1.0
    instances: int = 1


@dataclass(frozen=True)
class Choice:
    """The job whose turn it is, if any, and a moment at which to ask again though nothing has happened, if any."""

    job: str | None
    again_s: float | None = None


class Turns:
    """Chooses between the jobs of a node. Every moment `now_s` is at least the one before."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}
        self._virtual_s = 0.0

    def join(self, job: str, terms: Terms, now_s: float) -> None:
        """A job comes, and is neither ahead of the others nor behind; or it comes with other terms."""
        if job in self._accounts:
            self._accounts[job].terms = terms
        else:
            self._accounts[job] = _Account(terms, self._virtual_s, seen_s=now_s, accrued_s=now_s)

    def leave(self, job: str) -> None:
        """A job is gone."""
        del self._accounts[job]

    def limit(self, job: str, most: int | None) -> None:
        """A job may hold `most` permits at a time; with 0 it is out, and its priority keeps nobody from anything."""
        self._accounts[job].most = most

    def kept_out(self, now_s: float) -> dict[str, str]:
        """The jobs that a higher priority keeps out, each with one that has it."""
        able = self._able(now_s)
        top = self._accounts[able[0]].terms.priority if able else -math.inf
        return {job: able[0] for job, account in self._accounts.items() if account.terms.priority < top}

    def holds(self, job: str) -> int:
        """How many permits a job has."""
        return self._accounts[job].held

    def asked(self, job: str, now_s: float) -> None:
        """A job waits for a permit more."""
        account = self._accounts[job]
        if not account.waiting:
            account.virtual_s = max(account.virtual_s, self._virtual_s - MOST_LAG_S / account.terms.weight)
        account.waiting += 1
        account.seen_s = now_s

    def withdrew(self, job: str, now_s: float) -> None:
        """A job waits for a permit less."""
        self._accounts[job].waiting -= 1
        self._accounts[job].seen_s = now_s

    def granted(self, job: str, expected_s: float, now_s: float) -> None:
        """A job that waited has a permit, for a batch that is expected to take so long."""
        account = self._accounts[job]
        self._virtual_s = max(self._virtual_s, account.virtual_s)
        account.waiting -= 1
        self.kept(job, expected_s, now_s)

    def kept(self, job: str, expected_s: float, now_s: float) -> None:
        """A job has a permit that it did not get here."""
        account = self._accounts[job]
        account.held += 1
        account.charge(max(expected_s, _LEAST_S), now_s)
        account.seen_s = now_s

    def returned(self, job: str, expected_s: float, took_s: float, now_s: float) -> None:
        """A job has given a permit back, for a batch that the server worked at for so long."""
        account = self._accounts[job]
        account.held -= 1
        account.charge(took_s - max(expected_s, _LEAST_S), now_s)
        account.returned_s, account.last_s = now_s, took_s
        account.seen_s = now_s

    def choose(self, free: int, now_s: float, *, idle: bool) -> Choice:
        """Whose turn it is when `free` permits can be had; `idle`: an instance has nothing to do."""
        able = self._able(now_s)
        waiting = [job for job in able if self._accounts[job].may_have_more()]
        ready = [job for job in waiting if self._accounts[job].ready_s(now_s) <= now_s]
        if free < 1 or not waiting:
            return Choice(None)
        if not ready:
            return Choice(None, min(self._accounts[job].ready_s(now_s) for job in waiting))
        best = min(ready, key=lambda job: self._accounts[job].virtual_s)
        behind = [
            account
            for account in (self._accounts[job] for job in able)
            if not account.waiting and account.has_room() and account.virtual_s < self._accounts[best].virtual_s
        ]
        before_it = [ends_s for account in behind if (ends_s := account.grace_ends_s(idle=idle)) > now_s]
        return Choice(best) if len(before_it) < free else Choice(None, min(before_it))

    def _able(self, now_s: float) -> list[str]:
        """The jobs of the highest priority of those that want anything."""
        alive = [job for job, account in self._accounts.items() if account.is_alive(now_s)]
        top = max((self._accounts[job].terms.priority for job in alive), default=0)
        return [job for job in alive if self._accounts[job].terms.priority == top]


@dataclass
class _Account:
    terms: Terms
    virtual_s: float
    seen_s: float
    accrued_s: float
    budget_s: float = 0.0
    waiting: int = 0
    held: int = 0
    most: int | None = None
    returned_s: float = 0.0
    last_s: float = 0.0

    def is_alive(self, now_s: float) -> bool:
        if self.most == 0:
            return False
        return self.waiting > 0 or self.held > 0 or now_s - self.seen_s < PRIORITY_HOLD_S

    def has_room(self) -> bool:
        return self.most is None or self.held < self.most

    def may_have_more(self) -> bool:
        return self.waiting > 0 and self.has_room()

    def grace_ends_s(self, *, idle: bool) -> float:
        """Until when it is waited for."""
        if idle:
            return self.returned_s + min(IDLE_GRACE_SHARE * self.last_s, IDLE_GRACE_S)
        return self.returned_s + min(self.last_s, GRACE_S)

    def ready_s(self, now_s: float) -> float:
        """When its share of server time lets it have a batch more."""
        if self.terms.max_share >= 1:
            return now_s
        self._accrue(now_s)
        return now_s if self.budget_s >= -_NOTHING_S else now_s - self.budget_s / self._pace()

    def charge(self, seconds: float, now_s: float) -> None:
        self._accrue(now_s)
        self.virtual_s += seconds / self.terms.weight
        self.budget_s -= seconds

    def _accrue(self, now_s: float) -> None:
        self.budget_s = min(self.budget_s + self._pace() * (now_s - self.accrued_s), self._pace() * BURST_S)
        self.accrued_s = now_s

    def _pace(self) -> float:
        return self.terms.max_share * self.terms.instances
