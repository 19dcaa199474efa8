from __future__ import annotations

import pytest

from ray_pipeline.errors import FatalError
from ray_pipeline.transport.choose import Choice, choose

ELSEWHERE = "192.0.2.1"  # an address that nobody has (RFC 5737)


def test_a_server_elsewhere_is_reached_through_grpc_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    choice = choose(f"{ELSEWHERE}:8001", "auto", 1.0)
    assert choice == Choice("grpc", f"{ELSEWHERE} is another machine")
    assert f"requests to {ELSEWHERE}:8001 go through gRPC, not through shared memory: {choice.why}" in caplog.text


def test_shared_memory_that_is_asked_for_and_impossible_ends_the_job() -> None:
    with pytest.raises(FatalError, match=r'is another machine.*write `transport = "auto"` under'):
        choose(f"{ELSEWHERE}:8001", "shared_memory", 1.0)


def test_grpc_that_is_asked_for_asks_nobody(caplog: pytest.LogCaptureFixture) -> None:
    assert choose(f"{ELSEWHERE}:8001", "grpc", 1.0).transport == "grpc"
    assert caplog.text == ""
