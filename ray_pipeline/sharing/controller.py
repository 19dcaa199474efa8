"""What bulk may do at one server at this moment: samples and counts in, a limit out. Pure arithmetic without a clock.

Moments (`now_s`) are seconds on any clock that never goes back. Whoever calls it asks the server for its counts some
four times a second, sends a canary (a request of one real row, as a user's) whenever one is due, and asks for the limit
at each event.
"""

from __future__ import annotations

import math

from ray_pipeline.outcome import Outcome
from ray_pipeline.sharing.budget import batch_budget_s
from ray_pipeline.sharing.limit import UNLIMITED, Bound, Bounds, Limit
from ray_pipeline.sharing.patience import Patience
from ray_pipeline.sharing.regimes import LEAST_RATE, Regime, Regimes
from ray_pipeline.sharing.trim import Trim
from ray_pipeline.sharing.users import SLOW_S, Users

CANARIES_PER_S = 1.0
"""While bulk runs: each costs the server a row."""

QUIET_CANARY_EVERY_S = 0.03
SILENCE_SAMPLES, REFRESH_SAMPLES = 32, 8
"""Quiet samples that a silence waits for: the first at a rate of users, and those that follow."""

SETTLED_S = 0.05
"""A sample is quiet if bulk's last batch has ended so long ago: users that it has kept waiting are answered then."""

SILENCE_AT_LEAST_S = 0.75
"""The first silence is long enough for users to be seen."""

SILENCE_AT_MOST_S = 3.0
REFRESH_S = (5.0, 10.0, 20.0)
"""Bulk is silent again so long after the last silence, at first sooner."""

MOST_BUSY = 0.9
"""The most of a server's time that is taken to be its users'; those who wait together are served together."""

CALM = 0.15
"""A limit that differs by less is not worth a new one."""

USUAL_ROWS = 3
"""A batch beside an instance that is left to users runs at least as long as so many of their rows, unless canaries tell
that they wait too long for it: with single rows bulk would get a fifth less, and most users would not notice."""

BUSY_STEP = 0.05
"""How finely the share of users is taken who find the instance left to them busy."""

TURN_S = 0.25
"""A batch runs so long at most while nobody is online: where one runs and one waits, a user who comes, or a job of
higher priority, has the server within half a second."""

DROPS = 3
"""After so many requests in a row that the server dropped, it is left alone."""

BLIND_S = 2.0
"""Without a count for so long nobody knows who is online."""

AWAY = Limit(0, 0.0, "the server drops requests, or is away; it is asked again")
BLIND = Limit(0, 0.0, "the server's counts do not come, so that nobody knows whether users are online")
SILENT = Limit(0, 0.0, "bulk is silent, to see how fast the server answers without it")
TOO_SLOW = Limit(0, 0.0, "beside a batch of one row users would wait longer than they may; that is looked at again")
NOBODY = Limit(UNLIMITED, TURN_S, "nobody is online", users_online=False)


class Controller:
    """The limit of one server. `bounds` are those of its jobs, one at least; `instances` run batches side by side."""

    def __init__(self, bounds: Bounds, instances: int, now_s: float) -> None:
        self._bounds, self._instances = tuple(bounds), instances
        self._users = Users()
        self._regimes = Regimes(self._new_trims)
        self._silence_s: float | None = None
        self._taken_before = 0
        self._met_silence = False
        self._in_flight = 0
        self._busy_s = -math.inf
        self._counted_s = now_s
        self._canary_s: float | None = None
        self._next_canary_s = now_s
        self._drops = 0
        self._away = Patience()
        self._limit = Limit(0, 0.0, "the server is not yet known")
        self._budget: tuple[object, float] | None = None
        self._begin_silence(now_s)

    def rebound(self, bounds: Bounds, instances: int) -> None:
        """Takes other bounds, when jobs come and go."""
        if tuple(bounds) != self._bounds or instances != self._instances:
            self._bounds, self._instances = tuple(bounds), instances
            for regime in self._regimes.all:
                regime.correct_anew(self._new_trims())

    def counted(self, now_s: float, requests: int) -> None:
        """Takes how many requests of all clients the server has answered since it was started."""
        self._counted_s = now_s
        if self._users.counted(now_s, requests):
            self._regimes.forget()
            self._begin_silence(now_s)

    def canary_due(self, now_s: float) -> bool:
        """Whether a canary is to be sent now; one at a time."""
        if self._canary_s is not None or now_s < self._next_canary_s:
            return False
        return self._silence_s is not None or self._drops >= DROPS or self._users.anybody(now_s)

    def canary_sent(self, now_s: float) -> None:
        """The canary is on its way."""
        self._users.sent()
        self._canary_s = now_s

    def canary_answered(self, now_s: float, latency_s: float | None) -> None:
        """The canary is back after `latency_s`; None: the server dropped it."""
        assert self._canary_s is not None
        sent_s, self._canary_s = self._canary_s, None
        self._users.answered(counted=latency_s is not None)
        self._next_canary_s = (
            now_s + QUIET_CANARY_EVERY_S if self._silence_s is not None else sent_s + 1 / CANARIES_PER_S
        )
        if latency_s is None:
            self._dropped(now_s)
            return
        self._drops = 0
        self._away.succeeded()
        if self._limit.in_flight > 0 and self._regime.quiet.taken > 0:
            self._learn(latency_s)
        elif self._silence_s is not None and self._in_flight == 0 and self._busy_s + SETTLED_S <= sent_s:
            self._regime.quiet.add(latency_s)

    def batch_sent(self, now_s: float) -> None:
        """A batch of bulk is on its way."""
        self._users.sent()
        self._in_flight += 1

    def batch_answered(self, now_s: float, seconds: float, outcome: Outcome) -> None:
        """A batch of bulk has ended after `seconds`."""
        self._users.answered(counted=outcome == "success")
        self._in_flight -= 1
        self._busy_s = now_s
        if outcome == "dropped":
            self._dropped(now_s)
        elif outcome == "success":
            self._drops = 0

    def limit(self, now_s: float) -> Limit:
        """What holds now; the same object as long as nothing worth telling has changed."""
        self._follow_users(now_s)
        self._follow_silence(now_s)
        found = self._found(now_s)
        if not _alike(found, self._limit):
            self._limit = found
        return self._limit

    def _found(self, now_s: float) -> Limit:
        if self._away.pausing(now_s) or self._drops >= DROPS:
            return AWAY
        if now_s - self._counted_s > BLIND_S:
            return BLIND
        if self._silence_s is not None:
            return SILENT
        if not self._users.anybody(now_s):
            return NOBODY if len(self._bounds) == 1 else self._taking_turns()
        if self._regime.too_slow.pausing(now_s):
            return TOO_SLOW
        row_s = self._regime.quiet.quantile(0.1)
        known_s = self._known_s(row_s)
        batch_s = known_s * min(trim.factor for trim in self._regime.trims)
        if batch_s < row_s / 2:
            self._regime.too_slow.failed(now_s)
            if known_s > 0:
                for trim in self._regime.trims:
                    trim.try_again(row_s / 2 / known_s)
            return TOO_SLOW
        if batch_s >= row_s:
            self._regime.too_slow.succeeded()
        batch_s = max(batch_s, row_s)
        waits = "; ".join(dict.fromkeys(self._waits(bound) for bound in self._bounds))
        online = f"users are online ({self._users.rate(now_s, SLOW_S):.1f} rows/s; {waits})"
        free = f" one of {self._instances} instances is left to them," if self._instances > 1 else ""
        return Limit(max(self._instances - 1, 1), batch_s, f"{online}:{free} {_batches(batch_s)}")

    def _known_s(self, row_s: float) -> float:
        """How long a batch may run, before it is corrected by what canaries have met."""
        load = self._regime.rate * row_s
        if self._instances > 1:
            return max(self._budget_s(meeting=load), USUAL_ROWS * row_s)
        # Users whom a batch has kept waiting keep others waiting, until the queue is empty: what is left of the server
        # when its users are served is what empties it.
        return self._budget_s() * (1 - min(load, MOST_BUSY))

    def _waits(self, bound: Bound) -> str:
        """How long users wait and may wait, for people."""
        quiet_s = self._regime.quiet.quantile(bound.quantile)
        least, most = f"{quiet_s * 1e3:.0f} ms without bulk", f"{self._aim_s(bound) * 1e3:.0f} ms at most with it"
        return f"p{100 * bound.quantile:g} {least}, {most}"

    def _taking_turns(self) -> Limit:
        """Jobs get their parts here only if they wait here, and not in the server's queue; one waits there, so that no
        instance idles."""
        cause = f"nobody is online, and jobs take turns: {_batches(TURN_S)}"
        return Limit(self._instances + 1, TURN_S, cause, users_online=False)

    def _budget_s(self, meeting: float = 1.0) -> float:
        """How long a batch may run by what is known of the server without bulk, if that share of users meets it."""
        quiet = self._regime.quiet
        meeting = min(math.ceil(meeting / BUSY_STEP) * BUSY_STEP, 1.0)
        known = (quiet, quiet.taken, self._bounds, meeting)
        if self._budget is None or self._budget[0] != known:
            samples_s = quiet.samples()
            each = (batch_budget_s(samples_s, one.quantile, self._aim_s(one), meeting) for one in self._bounds)
            self._budget = known, min(each)
        return self._budget[1]

    def _aim_s(self, bound: Bound) -> float:
        return bound.aim_s(self._regime.quiet.least_quantile(bound.quantile))

    def _learn(self, latency_s: float) -> None:
        """A canary has met bulk's batches."""
        for bound, trim in zip(self._bounds, self._regime.trims, strict=True):
            trim.learn(within=latency_s <= self._aim_s(bound))

    def _dropped(self, now_s: float) -> None:
        self._drops += 1
        if self._drops >= DROPS:
            self._away.failed(now_s)
            self._next_canary_s = now_s + 0.25

    def _follow_users(self, now_s: float) -> None:
        """Another rate of users is another regime, known or new."""
        if self._silence_s is not None or not self._users.anybody(now_s):
            return
        if self._regimes.follow(now_s, self._users) and not self._regime.silences:
            self._begin_silence(now_s)

    def _follow_silence(self, now_s: float) -> None:
        """Ends a silence that has told enough, and begins one when it is time."""
        regime = self._regime
        if self._silence_s is None:
            every_s = REFRESH_S[min(regime.silences, len(REFRESH_S)) - 1]
            if self._users.anybody(now_s) and now_s - regime.silent_s > every_s:
                self._begin_silence(now_s)
            return
        if self._met_silence and not self._users.anybody(now_s):
            self._silence_s = None  # nobody waits for what it would tell
            return
        first = regime.silences == 0
        enough = regime.quiet.taken - self._taken_before >= (SILENCE_SAMPLES if first else REFRESH_SAMPLES)
        lasted_s = now_s - self._silence_s
        if (enough and (lasted_s >= SILENCE_AT_LEAST_S or not first)) or (
            lasted_s > SILENCE_AT_MOST_S and regime.quiet.taken > 0
        ):
            self._silence_s, self._met_silence = None, True
            regime.silences, regime.silent_s = regime.silences + 1, now_s
            if first:
                regime.rate = max(self._users.rate(now_s, min(lasted_s, SLOW_S)), LEAST_RATE)
                regime.seen_s, regime.age_s = now_s, lasted_s

    def _begin_silence(self, now_s: float) -> None:
        self._silence_s, self._taken_before = now_s, self._regime.quiet.taken
        self._regime.quiet.begin()
        self._next_canary_s = now_s

    def _new_trims(self) -> list[Trim]:
        return [Trim(bound.quantile) for bound in self._bounds]

    @property
    def _regime(self) -> Regime:
        return self._regimes.present


def _batches(batch_s: float) -> str:
    return "batches as they are" if math.isinf(batch_s) else f"batches of at most {batch_s * 1e3:.0f} ms"


def _alike(one: Limit, other: Limit) -> bool:
    if (one.in_flight, one.users_online) != (other.in_flight, other.users_online):
        return False
    if one.in_flight == 0:
        return one.cause == other.cause
    return one.batch_s == other.batch_s or abs(one.batch_s - other.batch_s) <= CALM * min(one.batch_s, other.batch_s)
