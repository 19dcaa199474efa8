"""What a storage does when its object store fails, fault by fault."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_pipeline.errors import InputError
from ray_pipeline.sources.parquet import Parquet
from tests.support.faulty_s3 import METHODS, Fault, FaultyProxy, Rule, faulty
from tests.support.s3 import object_store
from triton_models.errors import StorageError, StoreGoneError
from triton_models.object_store import PIECE_BYTES
from triton_models.storage import Storage, open_storage

BUCKET = "bucket"
CONTENT = os.urandom(100_000)
LARGE = os.urandom(PIECE_BYTES + 1)

Operation = Callable[[Storage, Path], object]


@pytest.fixture(scope="module")
def endpoint_url() -> Iterator[str]:
    with object_store(BUCKET) as address:
        storage = open_storage(f"s3://{BUCKET}", address)
        storage.write("there/file", CONTENT)
        storage.write("there/large", LARGE)
        yield address


@pytest.fixture
def proxy(endpoint_url: str) -> Iterator[FaultyProxy]:
    """The store, which does not fail yet."""
    with faulty(endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def storage(proxy: FaultyProxy) -> Storage:
    return open_storage(f"s3://{BUCKET}", proxy.address, timeout_s=60)


def create(storage: Storage) -> tuple[bool, bytes]:
    storage.delete("new")
    return storage.create("new", b"mine"), storage.read("new")


def write(storage: Storage, content: bytes | Path) -> bytes:
    storage.write("written", content)
    return storage.read("written")


OPERATIONS: dict[str, tuple[Operation, object]] = {
    "stat": (lambda storage, _: storage.stat("there/file") is not None, True),
    "objects": (lambda storage, _: [one.path for one in storage.at("there").objects()], ["file", "large"]),
    "read": (lambda storage, _: storage.read("there/file"), CONTENT),
    "pieces": (lambda storage, _: b"".join(storage.pieces("there/large")), LARGE),
    "write": (lambda storage, _: write(storage, CONTENT), CONTENT),
    "write in parts": (lambda storage, _: write(storage, LARGE), LARGE),
    "upload": (lambda storage, large: write(storage, large), LARGE),
    "create": (lambda storage, _: create(storage), (True, b"mine")),
    "create again": (lambda storage, _: storage.create("there/file", b"mine"), False),
    "copy": (lambda storage, _: storage.copy("there/file", "copy"), None),
    "delete": (lambda storage, _: storage.delete("copy", "missing"), None),
}


@pytest.mark.parametrize("fault", [one for one in Fault if one is not Fault.PAUSE], ids=lambda fault: fault.name)
@pytest.mark.parametrize("name", OPERATIONS)
def test_everything_is_done_although_a_request_of_each_method_fails(
    storage: Storage, proxy: FaultyProxy, tmp_path: Path, fault: Fault, name: str
) -> None:
    (tmp_path / "large").write_bytes(LARGE)
    operation, wanted = OPERATIONS[name]
    proxy.rules = [Rule(fault, methods=(method,), at_most=1) for method in METHODS]
    assert operation(storage, tmp_path / "large") == wanted
    assert proxy.injected[fault] >= 1


@pytest.mark.parametrize("fault", [Fault.SLOW_DOWN, Fault.RESET, Fault.CUT], ids=lambda fault: fault.name)
def test_more_failures_than_the_libraries_below_would_take_are_taken(
    storage: Storage, proxy: FaultyProxy, fault: Fault
) -> None:
    proxy.rules = [Rule(fault, methods=("GET",), at_most=8)]
    assert storage.read("there/file") == CONTENT
    assert proxy.injected[fault] == 8


def test_a_new_file_whose_answers_are_lost_is_not_taken_for_that_of_another(
    storage: Storage, proxy: FaultyProxy
) -> None:
    proxy.rules = [Rule(Fault.LOST_ANSWER, methods=("PUT",), at_most=3)]
    assert storage.create("lost/answers", b"mine")
    assert not storage.create("lost/answers", b"mine")
    assert proxy.injected[Fault.LOST_ANSWER] == 3


def test_a_lost_answer_to_the_trial_of_conditional_writes_is_not_taken_for_an_overwrite(
    storage: Storage, proxy: FaultyProxy
) -> None:
    proxy.rules = [Rule(Fault.LOST_ANSWER, methods=("PUT",), spared=1, at_most=1)]
    assert storage.create("lost/trial", b"mine")
    assert storage.read("lost/trial") == b"mine"
    assert proxy.injected[Fault.LOST_ANSWER] == 1


@pytest.mark.parametrize("from_disk", [False, True])
def test_an_upload_that_was_completed_although_nobody_heard_of_it_is_whole(
    storage: Storage, proxy: FaultyProxy, tmp_path: Path, from_disk: bool
) -> None:
    (tmp_path / "large").write_bytes(LARGE)
    proxy.rules = [Rule(Fault.LOST_ANSWER, methods=("POST",), spared=1, at_most=1)]
    assert write(storage, tmp_path / "large" if from_disk else LARGE) == LARGE
    assert proxy.injected[Fault.LOST_ANSWER] == 1


def test_a_store_that_says_nothing_for_long_is_asked_again(endpoint_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triton_models.storage._SILENCE_S", 1)
    with faulty(endpoint_url, Rule(Fault.PAUSE, methods=("GET",), at_most=1), pause_s=60) as proxy:
        assert open_storage(f"s3://{BUCKET}", proxy.address).read("there/file") == CONTENT
        assert proxy.requests["GET"] == 2


def test_an_outage_longer_than_the_patience_is_told_with_what_to_do(endpoint_url: str, proxy: FaultyProxy) -> None:
    storage = open_storage(f"s3://{BUCKET}/there", proxy.address, timeout_s=0.1)
    attempts: list[Callable[[], object]] = [
        lambda: storage.read("file"),
        lambda: storage.write("other", b"1"),
        lambda: storage.create("new", b"1"),
    ]
    with proxy.outage():
        for attempt in attempts:
            with pytest.raises(StoreGoneError) as gone:
                attempt()
            said = str(gone.value)
            assert re.match(rf"s3://{BUCKET}/there/\w+: the object store fails; tried 3 times over \d+ s", said)
            assert said.endswith("When the store is well again, run the same command to go on")
            assert "testing" not in said
    assert storage.read("file") == CONTENT


def test_what_a_store_refuses_is_not_asked_again(proxy: FaultyProxy) -> None:
    with pytest.raises(StorageError, match="NO_SUCH_BUCKET"):
        open_storage("s3://missing-bucket/x", proxy.address).write("file", b"1")
    assert proxy.requests.total() == 1


def test_a_chunk_whose_ranges_break_off_is_read_again_and_a_broken_object_is_not(
    storage: Storage, proxy: FaultyProxy
) -> None:
    table = pa.table({"id": range(10_000)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=1000)
    storage.write("rows/whole.parquet", sink.getvalue())
    storage.write("rows/broken.parquet", sink.getvalue()[:-100])
    found, broken = storage.stat("rows/whole.parquet"), storage.stat("rows/broken.parquet")
    assert found is not None
    assert broken is not None
    proxy.rules = [Rule(Fault.CUT, methods=("GET",), at_most=8)]
    survey = storage.healed(lambda: Parquet().survey(storage, found, 4000))
    proxy.rules.append(Rule(Fault.CUT, methods=("GET",), at_most=4))
    read = [storage.healed(partial(Parquet().read, storage, piece, survey.schema)) for piece in survey.pieces]
    assert pa.concat_tables(rows.table for rows in read).equals(table)
    assert proxy.injected[Fault.CUT] == 12

    proxy.requests.clear()
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        storage.healed(lambda: Parquet().survey(storage, broken, 4000))
    assert proxy.requests["GET"] == 1


def test_the_footer_of_a_parquet_object_is_one_request(storage: Storage, proxy: FaultyProxy, tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": range(50_000), "text": [f"text {row}" for row in range(50_000)]}), tmp_path / "a")
    storage.write("a.parquet", tmp_path / "a")
    found = storage.stat("a.parquet")
    assert found is not None
    before = proxy.requests.copy()
    survey = Parquet().survey(storage, found, 20_000)
    assert [piece.rows for piece in survey.pieces] == [20_000, 20_000, 10_000]
    assert proxy.requests - before == {"GET": 1}
