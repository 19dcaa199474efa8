"""How versions come back and go: the same rules in a folder and in a store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.repositories import Store, publish_bytes, store_in
from triton_models.errors import RepositoryError
from triton_models.repository.clean import clean
from triton_models.repository.overview import ModelSummary, summaries
from triton_models.repository.removal import retire
from triton_models.repository.rollback import roll_back
from triton_models.repository.versions import newest, read_card, read_config, versions
from triton_models.storage import Storage, open_storage

DAY_S = 86_400.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture(params=["folder", "store"])
def repository(request: pytest.FixtureRequest, folder: Path) -> Storage:
    """Three versions of small, one of other."""
    repository = open_storage(str(folder)) if request.param == "folder" else store_in(folder)
    for content in (b"one", b"two", b"three"):
        publish_bytes(repository, "small", content)
    publish_bytes(repository, "other")
    return repository


def content(repository: Storage, version: int) -> bytes:
    return repository.read(f"small/{version}/model.onnx")


def paths(repository: Storage) -> list[str]:
    return [one.path for one in repository.objects(hidden=True)]


def test_the_version_before_becomes_the_newest(repository: Storage) -> None:
    config = read_config(repository, "small")
    published = roll_back(repository, "small")
    assert (published.version, published.card.copy_of) == (4, 2)
    assert newest(repository, "small") == 4
    assert content(repository, 4) == b"two"
    assert repository.read("small/4/assets/words.txt") == b"a word"
    assert read_card(repository, "small", 4) == published.card
    assert published.card.files == read_card(repository, "small", 2).files
    assert read_config(repository, "small") == config


def test_rolling_back_twice_goes_two_versions_back_and_not_further(repository: Storage) -> None:
    assert [roll_back(repository, "small").card.copy_of for _ in range(2)] == [2, 1]
    with pytest.raises(RepositoryError, match=r"no version before 1 \(the current one is 5, a copy of version 1\)"):
        roll_back(repository, "small")


def test_any_version_can_be_chosen_also_a_copy(repository: Storage) -> None:
    assert content(repository, roll_back(repository, "small", 1).version) == b"one"
    assert content(repository, roll_back(repository, "small", 3).version) == b"three"
    assert roll_back(repository, "small", 4).card.copy_of == 1


def test_a_version_or_model_that_is_not_there_is_named(repository: Storage) -> None:
    with pytest.raises(RepositoryError, match="no version 7 of small; it has 1, 2, 3"):
        roll_back(repository, "small", 7)
    with pytest.raises(RepositoryError, match=r"version 3 of small in .* is the current one already"):
        roll_back(repository, "small", 3)
    with pytest.raises(RepositoryError, match="did you mean 'small'"):
        roll_back(repository, "smal")


@pytest.mark.parametrize("wrong", [b"twO", None])
def test_a_torn_version_does_not_come_back(repository: Storage, wrong: bytes | None) -> None:
    repository.write("small/2/model.onnx", wrong) if wrong else repository.delete("small/2/model.onnx")
    before = paths(repository)
    with pytest.raises(RepositoryError, match=r"small/2/model\.onnx is (missing|not what its card says)"):
        roll_back(repository, "small")
    assert paths(repository) == before


def test_in_a_folder_the_files_are_shared(folder: Path) -> None:
    repository = open_storage(str(folder))
    publish_bytes(repository, "small", b"one")
    publish_bytes(repository, "small", b"two")
    roll_back(repository, "small")
    first, copy = (folder / "small" / number / "model.onnx" for number in ("1", "3"))
    assert first.samefile(copy)
    card_bytes = (folder / "small" / "1" / "card.json").stat().st_size
    assert retire(repository, "small", 1) == card_bytes
    assert copy.read_bytes() == b"one"


def test_where_nothing_can_be_linked_the_files_are_copied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError("no links on this file system")

    repository = open_storage(str(folder))
    publish_bytes(repository, "small", b"one")
    publish_bytes(repository, "small", b"two")
    monkeypatch.setattr(os, "link", refuse)
    assert content(repository, roll_back(repository, "small").version) == b"one"


def test_a_retired_version_is_gone_and_its_neighbours_are_not(repository: Storage) -> None:
    neighbours = [path for path in paths(repository) if not path.startswith("small/2/")]
    assert retire(repository, "small", 2) > 0
    assert paths(repository) == neighbours
    assert versions(repository, "small") == [1, 3]
    assert publish_bytes(repository, "small").version == 4


def test_the_current_version_is_not_retired(repository: Storage) -> None:
    before = paths(repository)
    with pytest.raises(RepositoryError, match="roll back first: rayton models rollback small"):
        retire(repository, "small", 3)
    with pytest.raises(RepositoryError, match="no version 9 of small; it has 1, 2, 3"):
        retire(repository, "small", 9)
    assert paths(repository) == before


class Killed(Store):
    """A process that is killed as soon as the first file is gone."""

    def delete(self, *paths: str) -> None:
        super().delete(*paths)
        raise KeyboardInterrupt


def test_a_retirement_that_is_killed_is_finished_by_gc(folder: Path) -> None:
    store = store_in(folder)
    for _ in range(2):
        publish_bytes(store, "small")
    with pytest.raises(KeyboardInterrupt):
        retire(Killed(store.uri, store.root, store.filesystem), "small", 1)
    assert versions(store, "small") == [2]
    assert "small/1/model.onnx" in paths(store)
    clean(store, None, 1, 0)
    assert not any(path.startswith("small/1/") for path in paths(store))


def test_a_dry_run_says_what_gc_then_does(repository: Storage) -> None:
    roll_back(repository, "small")
    before = paths(repository)
    told = clean(repository, None, 1, DAY_S, dry_run=True)
    assert paths(repository) == before
    assert clean(repository, None, 1, DAY_S) == told
    assert [one.what for one in told] == [f"version {number} of small" for number in (1, 2, 3)]
    assert (versions(repository, "small"), versions(repository, "other")) == ([4], [1])
    assert clean(repository, None, 1, DAY_S) == []


def test_gc_keeps_as_many_as_asked_of_one_model(repository: Storage) -> None:
    publish_bytes(repository, "other")
    clean(repository, "small", 2, DAY_S)
    assert (versions(repository, "small"), versions(repository, "other")) == ([2, 3], [1, 2])
    with pytest.raises(RepositoryError, match="did you mean 'small'"):
        clean(repository, "smal", 2, DAY_S)
    with pytest.raises(RepositoryError, match="--keep is 0"):
        clean(repository, None, 0, DAY_S)


def test_gc_never_removes_the_current_version(folder: Path) -> None:
    repository = open_storage(str(folder))
    publish_bytes(repository, "small")
    (folder / "small" / "2").mkdir()
    clean(repository, None, 1, DAY_S)
    assert newest(repository, "small") == 1


def test_gc_removes_uploads_that_are_old_enough_and_what_killed_exports_left(folder: Path) -> None:
    store = store_in(folder)
    publish_bytes(store, "small")
    for model in ("small", "new"):
        store.create(f"{model}/2/.claim", b"killed")
        store.write(f"{model}/2/model.onnx", b"half")
    assert clean(store, None, 1, DAY_S) == []
    removed = clean(store, None, 1, -DAY_S)
    assert [(one.what, one.bytes) for one in removed] == [
        ("unfinished version 2 of new", 10),
        ("unfinished version 2 of small", 10),
    ]
    assert versions(store, "small") == [1]
    assert not any("/2/" in path for path in paths(store))


def test_gc_removes_what_killed_exports_left_beside_a_folder(folder: Path) -> None:
    left = folder.parent / ".rayton-staging-killed"
    (left / "version").mkdir(parents=True)
    (left / "version" / "model.onnx").write_bytes(b"half")
    for dry_run in (True, False):
        assert left.exists()
        (removed,) = clean(open_storage(str(folder)), None, 1, DAY_S, dry_run=dry_run)
        assert (removed.uri, removed.bytes) == (str(left), 4)
    assert not left.exists()


def test_an_overview_has_a_line_for_each_model(repository: Storage) -> None:
    roll_back(repository, "small")
    other, small = summaries(repository)
    assert (small.name, small.current, small.versions, small.unfinished) == ("small", 4, (1, 2, 3, 4), ())
    assert small.card == read_card(repository, "small", 4)
    assert small.bytes == sum(one.size for one in repository.at("small/4").objects())
    assert other.versions == (1,)


def test_an_overview_tells_unfinished_versions_and_broken_cards(repository: Storage) -> None:
    repository.create("small/4/.claim", b"killed")
    repository.create("new/1/.claim", b"killed")
    repository.write("other/1/card.json", b"{")
    new, other, small = summaries(repository)
    assert new == ModelSummary("new", (), (1,), problem="no version")
    assert (other.current, other.card) == (1, None)
    assert "other/1/card.json" in other.problem
    assert (small.current, small.unfinished) == (3, (4,))
