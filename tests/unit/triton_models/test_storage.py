from __future__ import annotations

import pickle
import threading
from pathlib import Path

import pytest

from triton_models.disk import is_temporary, write_file
from triton_models.errors import StorageError
from triton_models.storage import open_storage


def test_a_write_leaves_the_file_and_nothing_else(tmp_path: Path) -> None:
    write_file(tmp_path / "a" / "file", b"first")
    write_file(tmp_path / "a" / "file", b"second")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["file"]
    assert (tmp_path / "a" / "file").read_bytes() == b"second"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_file(tmp_path / "file", b"old")
    with pytest.raises(TypeError):
        write_file(tmp_path / "file", "text is no content")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("path", "temporary"),
    [
        ("data/.part-1.parquet.0123456789abcdef.tmp", True),
        ("data/part-1.parquet", False),
        ("data/.hidden", False),
        ("data/mine.tmp", False),
        (".folder.tmp/part", False),
    ],
)
def test_what_a_killed_write_leaves_is_told_from_other_files(path: str, temporary: bool) -> None:
    assert is_temporary(path) == temporary


def test_hidden_files_and_folders_are_not_among_the_objects(tmp_path: Path) -> None:
    for path in ("b/c.txt", "a.txt", ".hidden", "_SUCCESS", "b/.x.tmp", "_temporary/part", "b/_meta/part"):
        write_file(tmp_path / path, b"1")
    assert [found.path for found in open_storage(str(tmp_path)).objects()] == ["a.txt", "b/c.txt"]


def test_a_hidden_folder_can_itself_be_opened(tmp_path: Path) -> None:
    write_file(tmp_path / ".cache" / "a.txt", b"1")
    assert [found.path for found in open_storage(str(tmp_path / ".cache")).objects()] == ["a.txt"]


@pytest.mark.parametrize(
    "uri",
    ["s3://key:s3cr3t@bucket/x", "s3://key:s3c/r3t@bucket/x", "gs://s3cr3t@bucket", "minio://key:s3c/r3t@host/bucket"],
)
def test_credentials_in_an_address_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(StorageError) as refusal:
        open_storage(uri)
    assert "credentials" in str(refusal.value)
    assert "s3c" not in str(refusal.value)


@pytest.mark.parametrize("endpoint", ["http://key:s3cr3t@127.0.0.1:9000", "key:s3cr3t@127.0.0.1"])
def test_credentials_in_an_endpoint_are_refused_and_not_repeated(endpoint: str) -> None:
    with pytest.raises(StorageError) as refusal:
        open_storage("s3://bucket/x", endpoint)
    assert "credentials" in str(refusal.value)
    assert "s3cr3t" not in str(refusal.value)


def test_an_unknown_kind_of_address_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(StorageError, match=r"ftp:// is not supported; use a local path, s3:// or gs://"):
        open_storage("ftp://host/folder")


def test_an_endpoint_that_is_no_address_is_refused() -> None:
    with pytest.raises(StorageError, match=r"'127.0.0.1:9000' is not an address such as http"):
        open_storage("s3://bucket", "127.0.0.1:9000")


@pytest.mark.parametrize("key", ["part-?.parquet", "part-[ab].parquet", "a b", "100%"])
def test_what_means_something_in_an_address_can_be_part_of_a_key(key: str) -> None:
    assert open_storage(f"gs://bucket/{key}").root == f"bucket/{key}"


def test_a_folder_that_comes_and_goes_while_it_is_listed_is_no_error(tmp_path: Path) -> None:
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            (tmp_path / "model" / "1").mkdir(parents=True)
            (tmp_path / "model" / "1").rmdir()
            (tmp_path / "model").rmdir()

    other = threading.Thread(target=come_and_go)
    other.start()
    seen: set[tuple[str, ...]] = set()
    try:
        for _ in range(10_000):
            seen.add(tuple(open_storage(str(tmp_path)).folders("model")))
        while len(seen) < 2:  # on a busy machine the other may not have had a turn
            seen.add(tuple(open_storage(str(tmp_path)).folders("model")))
    finally:
        over.set()
        other.join()
    assert seen == {(), ("1",)}


def test_a_path_and_a_file_address_open_the_same_folder(tmp_path: Path) -> None:
    assert open_storage(str(tmp_path)) == open_storage(f"file://{tmp_path}")


def test_a_storage_travels_to_other_processes(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path)).at("deep")
    storage.write("file", b"1")
    assert pickle.loads(pickle.dumps(storage)).read("file") == b"1"


def test_what_cannot_be_read_names_the_folder(tmp_path: Path) -> None:
    write_file(tmp_path / "file", b"1")
    with pytest.raises(StorageError, match=f"{tmp_path}/file cannot be used"):
        open_storage(str(tmp_path)).at("file").objects()
