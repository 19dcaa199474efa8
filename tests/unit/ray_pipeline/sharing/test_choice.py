"""Which lane a job takes that leaves it open."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ray_pipeline.sharing.choice import COPIES, SERVER_BYTES, choose_lane, named_lane

USERS = "localhost:8001"
MODEL = 100_000_000
NEEDED = SERVER_BYTES + COPIES * MODEL


@pytest.mark.parametrize(
    ("online", "on_gpus", "free", "lane", "why"),
    [
        (None, ["resnet"], [0], "own", "no url under [triton] names a server to share"),
        (USERS, ["resnet"], [NEEDED], "shared", "resnet runs on GPUs, where a second server would not step back"),
        (USERS, [], [NEEDED], "own", "the node has the 0.6 GB of memory that a second server needs"),
        (USERS, [], [NEEDED, 2 * NEEDED], "own", "each of the 2 nodes has the 0.6 GB of memory that a second server"),
        (USERS, [], [9 * NEEDED, NEEDED - 1], "shared", "a second server needs 0.6 GB of memory, node b has 0.6 GB"),
    ],
)
def test_a_second_server_where_there_is_room_for_it(
    online: str | None, on_gpus: Sequence[str], free: Sequence[int], lane: str, why: str
) -> None:
    choice = choose_lane(online, on_gpus, MODEL, dict(zip("ab", free, strict=False)))
    assert choice.lane == lane
    assert choice.why.startswith(why)


def test_a_server_for_bulk_that_is_there_is_taken() -> None:
    choice = named_lane("auto", "localhost:8101")
    assert choice is not None
    assert choice.lane == "own"
    assert choice.why == "bulk_url under [sharing] names a server for bulk"
