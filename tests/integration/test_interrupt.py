"""Ctrl-C as a terminal sends it, to all processes of the job, and SIGTERM: once and twice, wherever the job just is."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_pipeline.interrupt import STOPPED, STOPPING, exit_status
from tests.support.faulty_s3 import Fault, FaultyProxy, faulty
from tests.support.jobs import score, scored_rows, start_score, write_job
from tests.support.leftovers import await_end, command, descendants, left_shared_memory, shared_memory
from tests.support.s3 import object_store
from tests.support.sums import MODEL, numbers
from triton_models.storage import open_storage

BUCKET = "corpus"
ROWS, CHUNKS = 240, 12
RAY_WORKER_GIVES_UP_S = 40.0
RUN_S = 120.0


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with object_store(BUCKET) as endpoint_url:
        sink = pa.BufferOutputStream()
        pq.write_table(numbers(range(ROWS)), sink, row_group_size=ROWS // CHUNKS)
        open_storage(f"s3://{BUCKET}/in", endpoint_url).write("rows.parquet", sink.getvalue())
        yield endpoint_url


@pytest.fixture
def triton(request: pytest.FixtureRequest, affine_repository: Path) -> dict[str, object]:
    if request.param == "own server":
        return {"repository": affine_repository}
    external: dict[str, object] = request.getfixturevalue("affine_triton")
    return external


def write_store_job(folder: Path, proxy: FaultyProxy, triton: dict[str, object]) -> Path:
    return write_job(
        folder / "job.toml",
        input=f"s3://{BUCKET}/in",
        output=f"s3://{BUCKET}/{folder.name}",
        triton=triton,
        model=MODEL,
        rows_per_chunk=ROWS // CHUNKS,
        endpoint_url=proxy.address,
    )


def files(folder: Path, store: str) -> set[str]:
    return {one.path for one in open_storage(f"s3://{BUCKET}/{folder.name}", store).objects(hidden=True)}


def check(folder: Path, store: str) -> None:
    found = scored_rows(f"s3://{BUCKET}/{folder.name}", store)
    assert found["id"].to_pylist() == list(range(ROWS))
    assert found["total"].to_pylist() == [[row + 6.0] for row in range(ROWS)]


@contextmanager
def held(
    proxy: FaultyProxy, method: str, keys: str, nth: int = 1, then: Fault | None = None
) -> Iterator[threading.Event]:
    """The event comes with the nth such request, which is held until the end of the block; `then` becomes of it."""
    seen, there, go_on = 0, threading.Event(), threading.Event()
    lock = threading.Lock()

    def watch(asked: str, key: str, client_port: int) -> Fault | None:
        nonlocal seen
        if asked != method or not fnmatchcase(key, keys):
            return None
        with lock:
            seen += 1
            mine = seen == nth
        if not mine:
            return None
        there.set()
        go_on.wait(RUN_S)
        return then

    proxy.watch = watch
    try:
        yield there
    finally:
        go_on.set()


def writing_the_fourth_part(proxy: FaultyProxy) -> AbstractContextManager[threading.Event]:
    return held(proxy, "PUT", "*/data/*", nth=4, then=Fault.RESET)


def interrupt(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGINT)


def terminate(process: subprocess.Popen[str]) -> None:
    """As a container's or a system's manager does it: the program alone is asked."""
    process.terminate()


Ask = Callable[[subprocess.Popen[str]], None]
STATUS: dict[Ask, int] = {interrupt: exit_status(signal.SIGINT), terminate: exit_status(signal.SIGTERM)}


def ended(process: subprocess.Popen[str], family: set[int], ask: Ask = interrupt) -> str:
    """Waits for the end of a job that was asked to stop, and of all that it has started; gives what it printed."""
    printed, errors = process.communicate(timeout=RUN_S)
    print(printed, errors)
    assert process.returncode == STATUS[ask]
    assert "Traceback" not in errors
    assert [command(pid) for pid in await_end(family, RAY_WORKER_GIVES_UP_S)] == []
    return printed


def await_line(process: subprocess.Popen[str], wanted: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == wanted:
            return
    raise AssertionError(f"the job never said {wanted!r}")


@pytest.mark.parametrize(
    ("triton", "ask"), [("external server", terminate), ("own server", interrupt)], indirect=["triton"]
)
def test_once_stops_in_good_order_and_the_same_command_goes_on(
    home: Path, store: str, tmp_path: Path, triton: dict[str, object], ask: Ask
) -> None:
    before = shared_memory()
    with faulty(store) as proxy:
        job = write_store_job(tmp_path, proxy, triton)
        with start_score(job, home) as process, writing_the_fourth_part(proxy) as fourth_part:
            assert fourth_part.wait(RUN_S)
            family = descendants(process.pid)
            ask(process)
            printed = ended(process, family, ask)
        assert STOPPING in printed
        assert STOPPED in printed
        there = files(tmp_path, store)
        assert not any(path.startswith("_lock/") for path in there)
        assert left_shared_memory(before) == []
        committed = {path for path in there if path.startswith("data/")}
        assert 3 <= len(committed) < CHUNKS
        assert f"{len(committed)} chunks are committed" in score(job, home)
    check(tmp_path, store)


@pytest.mark.parametrize(
    ("triton", "ask"), [("external server", interrupt), ("own server", terminate)], indirect=["triton"]
)
def test_twice_stops_at_once_and_the_same_command_goes_on(
    home: Path, store: str, tmp_path: Path, triton: dict[str, object], ask: Ask
) -> None:
    before = shared_memory()
    with faulty(store) as proxy:
        job = write_store_job(tmp_path, proxy, triton)
        with start_score(job, home) as process, writing_the_fourth_part(proxy) as fourth_part:
            assert fourth_part.wait(RUN_S)
            family = descendants(process.pid)
            ask(process)
            await_line(process, STOPPING)
            ask(process)
            assert STOPPED in ended(process, family, ask)
        assert left_shared_memory(before) == []
        assert "chunks are committed" in score(job, home)
    check(tmp_path, store)


def test_wherever_it_comes_it_leaves_a_folder_that_resumes(
    home: Path, store: str, tmp_path: Path, affine_triton: dict[str, object]
) -> None:
    moments: list[tuple[str, str]] = [
        ("GET", f"{BUCKET}/in/*"),  # planning
        ("PUT", "*/_lock/*"),
        ("PUT", "*/_job.json"),
        ("PUT", "*/_SUCCESS"),
    ]
    with faulty(store) as proxy:
        job = write_store_job(tmp_path, proxy, affine_triton)
        for method, keys in moments:
            with start_score(job, home) as process:
                with held(proxy, method, keys) as reached:
                    assert reached.wait(RUN_S), keys
                    family = descendants(process.pid)
                    interrupt(process)
                assert STOPPED in ended(process, family)
        score(job, home)
    check(tmp_path, store)


@pytest.mark.parametrize("ask", STATUS)
def test_while_ray_starts_it_leaves_nothing_behind(
    home: Path, store: str, tmp_path: Path, affine_triton: dict[str, object], ask: Ask
) -> None:
    with faulty(store) as proxy:
        job = write_store_job(tmp_path, proxy, affine_triton)
        with start_score(job, home) as process:
            family = await_children(process, lambda pids: any("raylet" in command(pid) for pid in pids))
            ask(process)
            assert STOPPED in ended(process, family, ask)
    assert files(tmp_path, store) == set()


def await_children(process: subprocess.Popen[str], enough: Callable[[set[int]], bool]) -> set[int]:
    poll = threading.Event()
    while process.poll() is None and not enough(descendants(process.pid)):
        poll.wait(0.01)
    assert process.poll() is None
    return descendants(process.pid)
