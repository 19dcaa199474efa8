"""One world with a controller, beside the same users alone and bulk alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from ray_pipeline.sharing.controller import Controller
from ray_pipeline.sharing.limit import Bound
from tests.simulation.world import Exclusive, Machine, Seen, World, poisson

SETTLED_S = 10.0
"""What is seen before is the controller's learning."""


MINILM = Machine()


@dataclass(frozen=True)
class Trial:
    """What users and bulk saw together, and what each saw alone."""

    shared: Seen
    alone: Seen
    exclusive_rows_per_s: float
    seconds: float

    def slowdown(self, quantile: float, since_s: float = SETTLED_S, until_s: float = float("inf")) -> float:
        """A quantile of the users' latency, as a multiple of what it is without bulk."""
        return self.shared.quantile(quantile, since_s, until_s) / self.alone.quantile(quantile, since_s, until_s)

    @property
    def share(self) -> float:
        """Bulk's rows a second, as a share of those of bulk alone."""
        return self.shared.rate(SETTLED_S, self.seconds) / self.exclusive_rows_per_s


def trial(
    bound: Bound,
    users_per_s: Callable[[float], float] | float,
    seconds: float = 120.0,
    machine: Machine = MINILM,
    seed: int = 0,
    disturb: Callable[[World], None] = lambda world: None,
) -> Trial:
    """Runs a controller in a world, and the two worlds that it is compared with."""
    arrivals = poisson(users_per_s, seconds, seed)
    world = World(Controller([bound], machine.instances, 0.0), machine, arrivals, seconds, seed)
    disturb(world)
    alone = World(Exclusive(), machine, arrivals, seconds, seed, bulk=False).run()
    exclusive = World(Exclusive(), machine, [], 30.0, seed).run().rate(5.0, 30.0)
    return Trial(world.run(), alone, exclusive, seconds)


def users_at(utilisation: float, machine: Machine = MINILM) -> float:
    """Users a second who take this share of the time of an instance, one row at a time."""
    return utilisation / machine.one_row_s


def medians(trials: list[Trial], *figures: Callable[[Trial], float]) -> list[float]:
    """The median of each figure over trials."""
    return [median(figure(one) for one in trials) for figure in figures]
