from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.repositories import store_in
from triton_models.repository.staging import abandoned, remove, staging
from triton_models.storage import Storage, open_storage

EXPORTS = 8
ROUNDS = 20


@pytest.fixture
def repository(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "models"))


@pytest.mark.parametrize("lock", [True, False])
def test_what_a_killed_export_left_is_removed_by_the_next(repository: Storage, tmp_path: Path, lock: bool) -> None:
    left = tmp_path / ".rayton-staging-killed"
    (left / "version" / "assets").mkdir(parents=True)
    (left / "version" / "model.onnx").write_bytes(b"half")
    if lock:
        (left / "lock").touch()
    assert abandoned(tmp_path) == [left]
    with staging(repository):
        assert not left.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_what_a_living_export_needs_is_left_alone(repository: Storage, tmp_path: Path) -> None:
    with staging(repository) as first:
        (first / "model.onnx").write_bytes(b"mine")
        assert abandoned(tmp_path) == []
        remove(first.parent)
        with staging(repository) as second:
            assert second != first
        assert (first / "model.onnx").read_bytes() == b"mine"


def test_exports_that_begin_at_the_same_time_do_not_take_each_other_for_dead(repository: Storage) -> None:
    together = threading.Barrier(EXPORTS)

    def export(_: int) -> None:
        together.wait()
        for _ in range(ROUNDS):
            with staging(repository) as staged:
                (staged / "model.onnx").write_bytes(b"weights")

    with ThreadPoolExecutor(EXPORTS) as pool:
        list(pool.map(export, range(EXPORTS)))


def test_for_a_store_it_lies_where_temporary_files_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    with staging(store_in(tmp_path)) as staged:
        assert staged.is_relative_to(tmp_path / "temporary")
    assert list((tmp_path / "temporary").iterdir()) == []
