"""Any shape of load: bulk never has more in flight than it may, and always comes back when users leave."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from ray_pipeline.sharing.controller import Controller
from ray_pipeline.sharing.limit import UNLIMITED, Bound
from tests.simulation.world import Exclusive, Machine, World, poisson

STRETCH_S = 4.0
loads = st.lists(st.sampled_from([0.0, 0.0, 0.05, 0.2, 0.5, 0.9]), min_size=1, max_size=4)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(loads, st.sampled_from([1, 2, 4]), st.sampled_from([1.1, 1.5, 3.0]), st.integers(0, 1000))
def test_any_shape(load: list[float], instances: int, slowdown: float, seed: int) -> None:
    machine = Machine(instances=instances)
    gone_s = STRETCH_S * len(load)
    end_s = gone_s + 12

    def users(now_s: float) -> float:
        return load[int(now_s / STRETCH_S)] / machine.one_row_s if now_s < gone_s else 0.0

    world = World(
        Controller([Bound(0.95, max_slowdown=slowdown)], instances, 0.0),
        machine,
        poisson(users, end_s, seed),
        end_s,
        seed,
    )
    seen = world.run()
    assert all(0 <= limit.in_flight <= UNLIMITED and limit.batch_s >= 0 and limit.cause for _, limit in seen.limits)
    assert all(before is not after for (_, before), (_, after) in pairwise(seen.limits))
    alone = World(Exclusive(), machine, [], 8.0, seed).run().rate(4, 8)
    assert seen.rate(end_s - 4, end_s) >= 0.7 * alone
