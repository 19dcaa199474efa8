"""What the limiter asks a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from ray_pipeline.sharing import signals
from ray_pipeline.sharing.signals import Signals
from tests.support.limiters import counts, hello, slow_server
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime


@pytest.fixture(scope="module")
def server(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeServer]:
    """A server whose model takes a good part of a second for a row."""
    repository = tmp_path_factory.mktemp("signals") / "models"
    with slow_server(runtime, repository, rounds=1_000_000) as found:
        yield found


def test_a_late_canary_is_not_cancelled_and_nobody_sends_another_one(
    server: NodeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "CANARY_TIMEOUT_S", 0.05)

    async def asked() -> tuple[list[float | None], str | None, float | None, str | None]:
        found = Signals(server.grpc_url)
        late = [await found.canary(hello().canary), await found.canary(hello().canary)]
        trouble = found.trouble
        monkeypatch.setattr(signals, "CANARY_TIMEOUT_S", 60.0)
        answer = await found.canary(hello().canary)
        in_time = found.trouble
        await found.close()
        return late, trouble, answer, in_time

    successes, failures = counts(server)
    late, trouble, answer, in_time = asyncio.run(asked())
    assert late == [None, None]
    assert trouble == f"the server {server.grpc_url} gave no canary in 0.05 s"
    assert answer is not None
    assert answer > 2 * 0.05
    assert in_time is None
    assert counts(server) == (successes + 1, failures)
