"""Who holds how many permits, and who waits for one. Whose turn it is and how many there are is decided elsewhere."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from triton_models.errors import RaytonError


class PermitError(RaytonError):
    """A holder asked for a number twice, or gave back what it does not have."""


@dataclass(frozen=True)
class Wanted:
    """A permit that a holder waits for, by the holder's own number."""

    holder: int
    number: int
    expected_s: float


@dataclass(frozen=True)
class Held:
    """A permit in use since the moment `since_s`, by its holder's own number."""

    holder: int
    number: int
    job: str
    expected_s: float
    since_s: float


class Ledger:
    """The permits of one node. Within a job, whoever asks first is served first."""

    def __init__(self) -> None:
        self._jobs: dict[int, str] = {}
        self._wanted: dict[str, deque[Wanted]] = {}
        self._held: dict[int, dict[int, Held]] = {}
        self.in_flight = 0
        """The permits in use, of all holders together."""

    def join(self, holder: int, job: str) -> None:
        """A holder is there."""
        self._jobs[holder] = job
        self._held[holder] = {}
        self._wanted.setdefault(job, deque())

    def leave(self, holder: int) -> tuple[list[Wanted], list[Held]]:
        """A holder is gone, and with it what it waited for and what it held."""
        job = self._jobs.pop(holder)
        wanted = [one for one in self._wanted[job] if one.holder == holder]
        for one in wanted:
            self._wanted[job].remove(one)
        if job not in self._jobs.values():
            del self._wanted[job]
        held = list(self._held.pop(holder).values())
        self.in_flight -= len(held)
        return wanted, held

    def is_there(self, job: str) -> bool:
        """Whether a job has a holder."""
        return job in self._wanted

    def ask(self, holder: int, number: int, expected_s: float) -> None:
        """A holder waits for a permit. Raises PermitError if it waits for that number or holds it."""
        wanted = self._wanted[self._jobs[holder]]
        if number in self._held[holder] or any(one.holder == holder and one.number == number for one in wanted):
            raise PermitError(f"permit {number} was asked for twice")
        wanted.append(Wanted(holder, number, expected_s))

    def grant(self, job: str, now_s: float) -> Wanted:
        """Grants a permit to whoever of a job waits longest."""
        granted = self._wanted[job].popleft()
        self.keep(granted.holder, granted.number, granted.expected_s, now_s)
        return granted

    def keep(self, holder: int, number: int, expected_s: float, now_s: float) -> None:
        """A holder has a permit, whoever granted it. Raises PermitError if it has it already."""
        if number in self._held[holder]:
            raise PermitError(f"permit {number} is held already")
        self._held[holder][number] = Held(holder, number, self._jobs[holder], expected_s, now_s)
        self.in_flight += 1

    def give(self, holder: int, number: int) -> Wanted | Held:
        """A holder gives a permit back, or does not wait for it any more.

        Raises PermitError if it neither has it nor waits for it.
        """
        held = self._held[holder].pop(number, None)
        if held is not None:
            self.in_flight -= 1
            return held
        wanted = self._wanted[self._jobs[holder]]
        for one in wanted:
            if one.holder == holder and one.number == number:
                wanted.remove(one)
                return one
        raise PermitError(f"permit {number} was given back and is not held")
