"""What every storage must do: a local folder and a store that speaks the S3 protocol, also one that often fails."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication

from tests.support.faulty_s3 import FaultyProxy, faulty, some_of_each
from tests.support.repositories import publish_bytes, store_in
from tests.support.s3 import object_store
from triton_models.errors import RepositoryError, StorageError
from triton_models.object_store import PIECE_BYTES
from triton_models.repository.checkout import check_out
from triton_models.repository.versions import models, newest, read_card, versions
from triton_models.storage import ONE_COPY_BYTES, Storage, open_storage

BUCKET = "bucket"
THREADS = 8


@pytest.fixture(scope="module")
def endpoint_url() -> Iterator[str]:
    with object_store(BUCKET) as address:
        yield address


@pytest.fixture(scope="module")
def failing(endpoint_url: str) -> Iterator[dict[str, FaultyProxy]]:
    """The store, but every fifth request fails, in other places for each seed."""
    with (
        faulty(endpoint_url, *some_of_each(0.04), seed=1) as one,
        faulty(endpoint_url, *some_of_each(0.04), seed=2) as other,
    ):
        yield {"failing": one, "failing otherwise": other}
        for proxy in (one, other):
            assert proxy.injected.total() > proxy.requests.total() / 10 or proxy.requests.total() < 50


@pytest.fixture(params=["folder", "endpoint", "environment", "failing", "failing otherwise", "pretended"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """An empty folder: on the disk, in a store whose address is given or is in the environment, or that often fails.

    The last one is a folder that unit tests take for a store.
    """
    if request.param == "folder":
        return open_storage(str(tmp_path / "folder"))
    if request.param == "pretended":
        (tmp_path / "store").mkdir()
        return store_in(tmp_path / "store")
    address = request.getfixturevalue("endpoint_url")
    if request.param.startswith("failing"):
        address = request.getfixturevalue("failing")[request.param].address
    # Not by chance, because what fails follows from the path.
    folder = sha256(request.node.name.encode()).hexdigest()
    return open_storage(f"s3://{BUCKET}/{folder}", address if request.param != "environment" else None)


def test_what_is_written_is_read_and_seen(storage: Storage) -> None:
    storage.write("a/b/file", b"content")
    storage.write("a/empty", b"")
    assert storage.read("a/b/file") == b"content"
    assert storage.read("a/empty") == b""
    assert [(found.path, found.size) for found in storage.objects()] == [("a/b/file", 7), ("a/empty", 0)]
    assert storage.stat("a/b/file") == storage.objects()[0]


def test_arrow_buffers_are_written_too(storage: Storage) -> None:
    storage.write("file", pa.py_buffer(b"content"))
    assert storage.read("file") == b"content"


def test_a_second_write_takes_the_place_of_the_first(storage: Storage) -> None:
    storage.write("file", b"a longer first content")
    first = storage.stat("file")
    storage.write("file", b"second")
    assert storage.read("file") == b"second"
    assert first is not None
    assert storage.stat("file") != first
    assert len(storage.objects()) == 1


def test_a_file_can_be_read_from_any_position(storage: Storage) -> None:
    def middle() -> object:
        with storage.open("file") as file:
            file.seek(4)
            return file.read(3)

    storage.write("file", b"0123456789")
    assert storage.healed(middle) == b"456"


def test_nothing_is_there_before_the_first_write(storage: Storage) -> None:
    assert storage.objects() == []
    assert storage.folders() == []
    assert storage.stat("file") is None
    with pytest.raises(FileNotFoundError):
        storage.read("file")


def test_a_folder_is_no_file(storage: Storage) -> None:
    storage.write("folder/file", b"1")
    assert storage.stat("folder") is None
    assert storage.stat("") is None


def test_folders_are_those_right_below(storage: Storage) -> None:
    for path in ("b/1/file", "a/file", "file"):
        storage.write(path, b"1")
    assert storage.folders() == ["a", "b"]
    assert storage.folders("b") == ["1"]
    assert storage.folders("missing") == []


def test_hidden_names_are_not_among_the_objects_but_can_be_read(storage: Storage) -> None:
    for path in ("_job.json", ".hidden", "data/_x", "data/part"):
        storage.write(path, b"1")
    assert [found.path for found in storage.objects()] == ["data/part"]
    assert storage.read("_job.json") == b"1"


def test_a_folder_below_sees_its_own_paths(storage: Storage) -> None:
    storage.write("data/deep/part", b"1")
    below = storage.at("data")
    assert below.uri == f"{storage.uri}/data"
    assert [found.path for found in below.objects()] == ["deep/part"]
    assert below.read("deep/part") == b"1"


def test_a_file_of_this_machine_is_copied_in_pieces(storage: Storage, tmp_path: Path) -> None:
    content = os.urandom(2 * PIECE_BYTES + 1)
    (tmp_path / "large").write_bytes(content)
    storage.write("a/large", tmp_path / "large")
    assert b"".join(storage.pieces("a/large")) == content
    storage.write("a/large", tmp_path / "large")
    assert [(found.path, found.size) for found in storage.objects()] == [("a/large", len(content))]


def test_of_all_who_create_a_file_exactly_one_does(storage: Storage) -> None:
    together = threading.Barrier(THREADS)

    def create(number: int) -> bool:
        together.wait()
        return storage.create("a/claim", str(number).encode())

    with ThreadPoolExecutor(THREADS) as pool:
        created = list(pool.map(create, range(THREADS)))
    assert created.count(True) == 1
    assert storage.read("a/claim") == str(created.index(True)).encode()
    assert [found.path for found in storage.objects(hidden=True)] == ["a/claim"]


def test_a_file_is_not_created_over_one_that_was_written(storage: Storage) -> None:
    storage.write("file", b"old")
    assert not storage.create("file", b"new")
    assert storage.read("file") == b"old"


@pytest.mark.parametrize("largest", [ONE_COPY_BYTES, 3])
def test_a_copy_is_what_it_is_copied_from(storage: Storage, largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triton_models.storage.ONE_COPY_BYTES", largest)
    storage.write("a/file", b"content")
    storage.copy("a/file", "b/copy")
    assert storage.read("b/copy") == storage.read("a/file") == b"content"
    with pytest.raises(FileNotFoundError):
        storage.copy("a/missing", "b/copy")


def test_a_file_knows_its_age(storage: Storage) -> None:
    storage.write("file", b"1")
    age = storage.age_s("file")
    assert age is not None
    assert -2 < age < 60
    assert storage.age_s("missing") is None


def test_it_does_not_matter_if_what_is_deleted_is_not_there(storage: Storage) -> None:
    storage.write("a/file", b"1")
    storage.delete("a/file", "a/missing")
    storage.delete()
    assert storage.objects() == []


def test_deleted_files_are_gone_and_their_neighbours_are_not(storage: Storage) -> None:
    storage.write("data/a", b"1")
    storage.write("data/b", b"1")
    storage.delete("data/a")
    assert [found.path for found in storage.objects()] == ["data/b"]


@pytest.mark.parametrize("name", ["with space", "100%", "ümlaut", "a+b=c", "[1]?*"])
def test_unusual_names_are_kept_as_they_are(storage: Storage, name: str) -> None:
    storage.write(f"{name}/{name}", b"1")
    assert [found.path for found in storage.objects()] == [f"{name}/{name}"]
    assert storage.at(name).read(name) == b"1"
    assert not storage.at(name).create(name, b"2")
    storage.at(name).delete(name)
    assert storage.objects() == []


def test_a_storage_opened_in_another_process_is_the_same(storage: Storage) -> None:
    storage.write("file", b"content")
    assert pickle.loads(pickle.dumps(storage)).read("file") == b"content"


def test_no_credentials_travel_or_show(storage: Storage) -> None:
    assert b"testing" not in pickle.dumps(storage)
    assert "testing" not in repr(storage)


def test_versions_are_published_found_and_checked_out(storage: Storage, tmp_path: Path) -> None:
    assert [publish_bytes(storage, "small", content).version for content in (b"1", b"2")] == [1, 2]
    assert (models(storage), versions(storage, "small"), newest(storage, "small")) == (["small"], [1, 2], 2)
    assert read_card(storage, "small", 2).name == "small"
    folder = tmp_path / "checked out"
    folder.mkdir()
    check_out(storage, {"small": 1}, folder)
    assert (folder / "small" / "1" / "model.onnx").read_bytes() == b"1"
    with pytest.raises(RepositoryError, match="did you mean 'small'"):
        newest(storage, "smal")


def test_a_bucket_that_is_not_there_is_named(endpoint_url: str) -> None:
    with pytest.raises(StorageError, match="s3://missing-bucket/x"):
        open_storage("s3://missing-bucket/x", endpoint_url).write("file", b"1")


def test_a_store_has_no_folder_where_nothing_is_left(endpoint_url: str) -> None:
    storage = open_storage(f"s3://{BUCKET}/{uuid4().hex}", endpoint_url)
    storage.write("a/1/file", b"1")
    storage.delete("a/1/file")
    assert storage.folders() == storage.folders("a") == []


def test_a_store_that_does_not_know_conditional_writes_is_refused(
    endpoint_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(f"s3://{BUCKET}/{uuid4().hex}", endpoint_url)
    heeding = DomainDispatcherApplication.__call__

    def ignoring(self: Any, environ: dict[str, object], start_response: object) -> object:
        environ.pop("HTTP_IF_NONE_MATCH", None)
        return heeding(self, environ, start_response)

    monkeypatch.setattr(DomainDispatcherApplication, "__call__", ignoring)
    with pytest.raises(StorageError, match="it ignores If-None-Match"):
        storage.create("a/claim", b"1")
    assert storage.objects(hidden=True) == []
    with pytest.raises(StorageError, match="it ignores If-None-Match"):
        publish_bytes(storage, "small")
    assert storage.objects(hidden=True) == []


def test_a_bucket_that_is_not_there_is_named_by_a_conditional_write_too(endpoint_url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    storage = open_storage("s3://missing-bucket/x", endpoint_url)
    with pytest.raises(StorageError, match=r"s3://missing-bucket/x: file cannot be created .*NoSuchBucket") as refusal:
        storage.create("file", b"1")
    assert "\n\n" not in str(refusal.value)
    with pytest.raises(StorageError, match=r"s3://missing-bucket/x: file cannot be written: .*NoSuchBucket"):
        storage.write("file", tmp_path / "file")
