"""What the limiter of a node decides: the limit, by its controller, whose turn it is, and who gets a permit.

It knows no sockets and has no clock: every moment `now_s` is of the caller's monotonic one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from ray_pipeline.outcome import Outcome
from ray_pipeline.sharing.fair import Choice, Terms, Turns
from ray_pipeline.sharing.limit import BY_HAND, Bound, Bounds, Limit
from ray_pipeline.sharing.messages import Canary, Granted, Hello, Message, MessageError, Steer
from ray_pipeline.sharing.permits import Held, Ledger
from ray_pipeline.sharing.work import Work

ASK_EVERY_S = 0.02
"""How often the controller is asked for the limit while nothing that it is told changes what it knows of users."""


class Control(Protocol):
    """What finds the limit of a server; `controller.py` has the real one."""

    def rebound(self, bounds: Bounds, instances: int) -> None:
        """Takes other bounds."""
        ...

    def canary_due(self, now_s: float) -> bool:
        """Whether a canary is to be sent now."""
        ...

    def canary_sent(self, now_s: float) -> None:
        """The canary is on its way."""
        ...

    def canary_answered(self, now_s: float, latency_s: float | None) -> None:
        """The canary is back."""
        ...

    def batch_sent(self, now_s: float) -> None:
        """A batch is on its way."""
        ...

    def batch_answered(self, now_s: float, seconds: float, outcome: Outcome) -> None:
        """A batch has ended."""
        ...

    def counted(self, now_s: float, requests: int) -> None:
        """The server has answered so many requests."""
        ...

    def limit(self, now_s: float) -> Limit:
        """What holds now."""
        ...


NewControl = Callable[[Bounds, int, float], Control]
Tell = Callable[[int, Message], None]
Note = Callable[..., None]
ModelOf = Callable[[bytes], str]


class Allotment:
    """The jobs at one server, their holders and their permits.

    `tell` sends a message to a holder, by the number that the caller knows it by; `note` writes an event down;
    `model_of` names the model that a canary is for, and raises MessageError if it is none. The canary is that of the
    job that is there longest; when the next one's is for another model, latencies mean something else, and a new
    controller begins.
    """

    def __init__(self, new_control: NewControl, tell: Tell, note: Note, model_of: ModelOf) -> None:
        self._new_control, self._tell, self._note, self._model_of = new_control, tell, note, model_of
        self._control: Control | None = None
        self._asked: Control | None = None
        self._asked_in_silence = False
        self._ask_at_s = 0.0
        self._model = ""
        self._found = Limit(0, 0.0, "nothing is known yet")
        self._limit = self._found
        self._trouble: str | None = None
        self._ledger, self._turns, self._work = Ledger(), Turns(), Work()
        self._jobs: dict[str, Hello] = {}
        self._holders: dict[int, str] = {}
        self._steers: dict[str, Steer] = {}
        self._told: dict[int, Limit] = {}
        self._kept_out: dict[str, str] = {}
        self._yielded: set[str] = set()

    def came(self, holder: int, hello: Hello, now_s: float) -> None:
        """A holder is there; it is told its limit. Raises MessageError or PermitError."""
        if holder in self._holders:
            raise MessageError(f"{self._holders[holder]!r} introduced itself twice")
        self._model_of(hello.canary)
        self._ledger.join(holder, hello.job)
        self._holders[holder] = hello.job
        self._jobs[hello.job] = hello
        self._turns.join(hello.job, Terms(hello.weight, hello.priority, hello.max_share, hello.instances), now_s)
        control = self._follow_jobs(now_s)
        for number in hello.held:
            self._ledger.keep(holder, number, 0.0, now_s)
            self._turns.kept(hello.job, 0.0, now_s)
            self._work.came((holder, number), now_s)
            control.batch_sent(now_s)
        self._note("holder came", job=hello.job, pid=hello.pid, held=len(hello.held))
        self._ask(control, now_s)

    def left(self, holder: int, now_s: float) -> None:
        """A holder is gone, if it ever introduced itself; its permits are free."""
        job = self._holders.pop(holder, None)
        if job is None:
            return
        self._told.pop(holder, None)
        wanted, held = self._ledger.leave(holder)
        for _ in wanted:
            self._turns.withdrew(job, now_s)
        for permit in held:
            self._returned(permit, now_s - permit.since_s, "ignored", now_s)
        if not self._ledger.is_there(job):
            self._turns.leave(job)
            del self._jobs[job]
            self._steers.pop(job, None)
            self._yielded.discard(job)
            if self._jobs:
                self._follow_jobs(now_s)
        self._note("holder left", job=job, held=len(held))

    def take(self, holder: int, number: int, expected_s: float, now_s: float) -> None:
        """A holder wants a permit. Raises MessageError or PermitError."""
        job = self._job_of(holder)
        self._ledger.ask(holder, number, expected_s)
        self._turns.asked(job, now_s)

    def give(self, holder: int, number: int, took_s: float, outcome: Outcome, now_s: float) -> None:
        """A holder does not want a permit any more, had or not. Raises MessageError or PermitError."""
        job = self._job_of(holder)
        permit = self._ledger.give(holder, number)
        if isinstance(permit, Held):
            self._returned(permit, took_s, outcome, now_s)
        else:
            self._turns.withdrew(job, now_s)

    def steer(self, message: Steer) -> None:
        """An operator speaks of a job, which has to be there. Raises MessageError."""
        if message.job not in self._jobs:
            raise MessageError(f"job {message.job!r} is not here; here are {', '.join(self._jobs) or 'none'}")
        if message != self._steers.get(message.job):
            self._steers[message.job] = message
            self._turns.limit(message.job, 0 if message.paused else message.most_in_flight)
            self._note("steered", job=message.job, paused=message.paused, most_in_flight=message.most_in_flight)
            self._tell_limits()

    def canary_to_send(self, now_s: float) -> bytes | None:
        """The canary, if it is to be sent now; its answer is then waited for."""
        if not self._jobs or self._control is None or not self._control.canary_due(now_s):
            return None
        self._control.canary_sent(now_s)
        self._asked = self._control
        self._asked_in_silence = self._limit.in_flight == 0
        return next(iter(self._jobs.values())).canary

    def canary_answered(self, now_s: float, latency_s: float | None) -> None:
        """The canary is back; None: it was dropped."""
        if self._asked is self._control and self._control is not None:
            self._control.canary_answered(now_s, latency_s)
            self._ask_at_s = now_s
            if latency_s is not None:
                for holder in self._holders:
                    self._tell(holder, Canary(latency_s, self._asked_in_silence))

    def counted(self, now_s: float, requests: int) -> None:
        """The server has answered so many requests since it was started."""
        if self._control is not None:
            self._control.counted(now_s, requests)
            self._ask_at_s = now_s

    def troubled(self, trouble: str | None) -> None:
        """What is wrong with the server, for people, or that nothing is."""
        if trouble != self._trouble:
            self._trouble = trouble
            self._compose()
            self._tell_limits()

    def turn(self, now_s: float) -> float | None:
        """Grants what can be granted; gives the moment to ask again at the latest, None where only news can help."""
        if not self._jobs or self._control is None:
            return None
        if now_s >= self._ask_at_s:
            self._ask(self._control, now_s)
        while (choice := self._choice(now_s)).job is not None:
            wanted = self._ledger.grant(choice.job, now_s)
            self._turns.granted(choice.job, wanted.expected_s, now_s)
            self._work.came((wanted.holder, wanted.number), now_s)
            self._control.batch_sent(now_s)
            self._tell(wanted.holder, Granted(wanted.number))
        return choice.again_s

    def _choice(self, now_s: float) -> Choice:
        in_flight = self._ledger.in_flight
        free, idle = self._limit.in_flight - in_flight, in_flight < self._work.instances
        return self._turns.choose(free, now_s, idle=idle)

    def _job_of(self, holder: int) -> str:
        job = self._holders.get(holder)
        if job is None:
            raise MessageError("a permit is for holders that have introduced themselves with `hello`")
        return job

    def _returned(self, permit: Held, took_s: float, outcome: Outcome, now_s: float) -> None:
        worked_s = self._work.ended((permit.holder, permit.number), now_s)
        self._turns.returned(permit.job, permit.expected_s, worked_s, now_s)
        assert self._control is not None
        self._control.batch_answered(now_s, took_s, outcome)
        if outcome == "dropped":
            self._ask_at_s = now_s

    def _follow_jobs(self, now_s: float) -> Control:
        """Keeps the bounds of all jobs, and the fewest instances that any of them knows of."""
        bounds: list[Bound] = [hello.bound for hello in self._jobs.values()]
        instances = self._work.instances = min(hello.instances for hello in self._jobs.values())
        model = self._model_of(next(iter(self._jobs.values())).canary)
        if self._control is None or model != self._model:
            self._control, self._model = self._new_control(bounds, instances, now_s), model
            for _ in range(self._ledger.in_flight):
                self._control.batch_sent(now_s)
        else:
            self._control.rebound(bounds, instances)
        self._ask_at_s = now_s
        return self._control

    def _ask(self, control: Control, now_s: float) -> None:
        """Finds what holds now, for all jobs and for each, and tells whom it concerns."""
        self._ask_at_s = now_s + ASK_EVERY_S
        found = control.limit(now_s)
        if found is not self._found:
            self._found = found
            self._compose()
        self._look_at_priorities(now_s)
        self._tell_limits()

    def _compose(self) -> None:
        cause = f"{self._found.cause}; {self._trouble}" if self._trouble else self._found.cause
        limit = replace(self._found, cause=cause)
        if limit != self._limit:
            self._limit = limit
            self._note("limit", **vars(limit))

    def _look_at_priorities(self, now_s: float) -> None:
        """Finds who is kept out by whom; writes down when the server is rid of a job, and when that goes on."""
        self._kept_out = self._turns.kept_out(now_s)
        for job, before in self._kept_out.items():
            if job not in self._yielded and not self._turns.holds(job):
                self._yielded.add(job)
                self._note("yielded", job=job, to=before)
        for job in self._yielded - self._kept_out.keys():
            self._yielded.remove(job)
            self._note("goes on", job=job)

    def _tell_limits(self) -> None:
        """Tells each holder what holds for its job, if that is news."""
        for holder, job in self._holders.items():
            limit = self._limit_of(job)
            if self._told.get(holder) != limit:
                self._told[holder] = limit
                self._tell(holder, limit)

    def _limit_of(self, job: str) -> Limit:
        steer = self._steers.get(job)
        if steer is not None and steer.paused:
            return replace(self._limit, in_flight=0, cause=BY_HAND)
        if (before := self._kept_out.get(job)) is not None:
            return replace(self._limit, in_flight=0, cause=f"a job of higher priority goes first: {before}")
        if steer is None or steer.most_in_flight is None:
            return self._limit
        cause = f"at most {steer.most_in_flight} by hand; {self._limit.cause}"
        return replace(self._limit, in_flight=min(self._limit.in_flight, steer.most_in_flight), cause=cause)
