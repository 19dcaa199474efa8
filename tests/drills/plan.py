"""What strikes a job in a drill, and when: it follows from the seed alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

CHUNKS = 12
"""Of the job that is struck."""

_FIRST_PART, _LAST_PART = 1, CHUNKS - 3
"""Strikes come while parts are written, and while some are still to be scored."""


class Victim(Enum):
    """Who is struck."""

    READER = "a worker in the middle of reading"
    WRITER = "a worker in the middle of writing a part of which the store never hears"
    HEARD_WRITER = "a worker that has sent a part and does not live to hear that it is stored"
    ACTOR = "a scoring actor"
    NODE = "a node with all its processes"
    SERVER = "the Triton server, which comes back on its port"
    DRIVER = "`rayton score`"
    STORE = "the object store: it throttles, fails, is slow, cuts and resets connections and loses answers"
    OUTAGE = "the object store, which is away for longer than the job waits"


ENDS_THE_RUN = (Victim.DRIVER, Victim.OUTAGE)
"""After these the job has to be run again; what strikes a run otherwise has to heal by itself."""


@dataclass(frozen=True)
class Strike:
    """A victim, and the request at which it is struck: the first in which the `nth` part is sent to the store.

    Where the victim is a reader it is the `nth` in which a worker reads the input.
    """

    victim: Victim
    nth: int


@dataclass(frozen=True)
class Drill:
    """The strikes of one job, in the order of their numbers, which all differ."""

    strikes: tuple[Strike, ...]

    @property
    def victims(self) -> set[Victim]:
        """Who is struck."""
        return {strike.victim for strike in self.strikes}


def drill_of(seed: int) -> Drill:
    """Two or three strikes on different victims; of as many seeds in a row as there are victims, each has another."""
    dice = random.Random(seed)
    victims = list(Victim)
    certain = victims[seed % len(victims)]
    others = dice.sample([one for one in victims if one is not certain], dice.randint(1, 2))
    struck = [certain, *others]
    moments = sorted(dice.sample(range(_FIRST_PART, _LAST_PART + 1), len(struck)))
    dice.shuffle(struck)
    struck.sort(
        key=lambda victim: victim is not Victim.ACTOR
    )  # when all is scored, while parts are written, it is gone
    return Drill(tuple(map(Strike, struck, moments)))


def few_that_strike_all(seeds: Sequence[int]) -> list[int]:
    """A few of these seeds, whose drills together strike every victim; each strikes as many new ones as any could."""
    chosen: list[int] = []
    left = set(Victim)
    while left:
        best = max(seeds, key=lambda seed: len(left & drill_of(seed).victims))
        chosen.append(best)
        left -= drill_of(best).victims
    return chosen
