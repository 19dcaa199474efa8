"""Jobs of which any part may be struck at any moment: in the end every row is there once, with its right values."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.drills.place import Place, place
from tests.drills.plan import ENDS_THE_RUN, Victim, drill_of, few_that_strike_all
from tests.drills.striker import Striker
from tests.support.faulty_s3 import Fault, faulty
from tests.support.jobs import start_score
from triton_models.server.runtime import Runtime

MANY = range(20)
"""What `make drills` takes."""
FEW = few_that_strike_all(MANY)
"""What `make test` takes."""
SEEDS = MANY if os.environ.get("DRILLS") == "many" else FEW


@pytest.fixture(scope="module")
def ground(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(runtime, tmp_path_factory.mktemp("drills")) as found:
        yield found


@pytest.mark.parametrize(("seeds", "least"), [(FEW, 1), (MANY, 3)])
def test_every_victim_is_struck(seeds: Sequence[int], least: int) -> None:
    struck = Counter(victim for seed in seeds for victim in drill_of(seed).victims)
    print({victim.name: times for victim, times in struck.items()})
    assert all(struck[victim] >= least for victim in Victim)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_strikes_every_row_is_there_once(home: Path, ground: Place, tmp_path: Path, seed: int) -> None:
    drill, began = drill_of(seed), time.monotonic()
    with faulty(ground.endpoint_url, seed=seed) as proxy:
        job, striker = ground.job(tmp_path, proxy), Striker(drill, ground, proxy)
        ends = [striker.strike_during(start_score(job, home, "--ray-address", ground.nodes.address))]
        while ends[-1][0] != 0 and len(ends) <= len(drill.strikes):
            ends.append(striker.strike_during(start_score(job, home, "--ray-address", ground.nodes.address)))
    what = ", ".join(f"{strike.victim.name} at {strike.nth}" for strike in drill.strikes)
    print(f"seed {seed}: {what}; {len(ends)} runs, {time.monotonic() - began:.1f} s")
    for status, errors in ends:
        print(status, errors)
        assert "Traceback" not in errors
    assert striker.left == [], "these could not strike"
    assert [status for status, _ in ends].count(0) == 1
    assert len(ends) == 1 + sum(strike.victim in ENDS_THE_RUN for strike in drill.strikes)
    if any(strike.victim is Victim.STORE for strike in drill.strikes):
        assert sum(proxy.injected[fault] for fault in Fault) > 0
    ground.check(tmp_path)
