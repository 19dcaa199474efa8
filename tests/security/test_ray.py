"""The Ray that a job starts: no other machine reaches it, and it runs the code of nobody but the job."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.support.command import start_rayton
from tests.support.connections import listening
from tests.support.jobs import await_part, write_job
from tests.support.leftovers import command, descendants
from tests.support.sums import MODEL, publish_affine, write_numbers

ROWS = 20_000
IS_ALIVE = "/ray.rpc.NodeInfoGcsService/CheckAlive"
PATIENCE_S = 30


@pytest.fixture
def ray_processes(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[set[int]]:
    """All processes of a job that has started a Ray of its own and is under way."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"):
        monkeypatch.delenv(name, raising=False)
    write_numbers(tmp_path / "in" / "numbers.parquet", range(ROWS))
    job = write_job(
        tmp_path / "job.toml",
        input=tmp_path / "in",
        output=tmp_path / "out",
        triton={"repository": publish_affine(tmp_path)},
        model=MODEL,
    )
    with start_rayton(home, "score", str(job)) as process:
        try:
            await_part(process, tmp_path / "out")
            yield descendants(process.pid)
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE_S)


def test_it_listens_on_loopback_and_asks_for_a_token_that_only_the_job_has(ray_processes: set[int]) -> None:
    (store,) = [pid for pid in ray_processes if command(pid).split(" ", 1)[0].endswith("/gcs_server")]
    addresses = {address for pid in ray_processes for address, _ in listening(pid)}
    assert addresses == {"127.0.0.1"}
    ((_, port),) = listening(store)
    assert refused(port, "")
    assert refused(port, "0" * 64)
    token = re.search(rb"RAY_AUTH_TOKEN=(\w{64})\0", Path(f"/proc/{store}/environ").read_bytes())
    assert token is not None
    assert not refused(port, token[1].decode())
    assert all(token[1].decode() not in command(pid) for pid in ray_processes)


def refused(port: int, token: str) -> bool:
    """Whether Ray's central store refuses a call with this token."""
    headers = [("authorization", f"Bearer {token}")] if token else []
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(IS_ALIVE).future(b"", timeout=PATIENCE_S, metadata=headers)
        assert call.code() in (grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED)
        return bool(call.code() is grpc.StatusCode.UNAUTHENTICATED)
