"""When the limiter's canary leaves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

from ray_pipeline.sharing.allotment import Allotment
from ray_pipeline.sharing.event_log import EventLog
from ray_pipeline.sharing.limiter import TICK_S, Limiter
from ray_pipeline.sharing.signals import Signals


class Asked:
    """Counts how often it is asked for a canary, and has none."""

    def __init__(self) -> None:
        self.times = 0

    def canary_to_send(self, now_s: float) -> None:
        self.times += 1

    def turn(self, now_s: float) -> None:
        pass


def test_a_canary_leaves_by_the_clock_and_not_when_a_batch_ends(tmp_path: Path) -> None:
    """Right after a batch has ended the server is free: nobody who comes then waits."""

    async def live(ticks: float) -> int:
        limiter = Limiter(EventLog(tmp_path / "log"), Signals("localhost:1"), linger_s=ticks * TICK_S)
        asked = Asked()
        limiter.allotment = cast(Allotment, asked)
        living = asyncio.create_task(limiter.ticks())
        for _ in range(100):
            limiter.turn()
        assert asked.times == 0
        await living
        return asked.times

    assert 1 <= asyncio.run(live(ticks=5)) <= 10
