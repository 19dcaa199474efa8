from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.repositories import publish_bytes, store_in
from triton_models.errors import RepositoryError
from triton_models.repository.cache import Cache, default_folder, open_cache
from triton_models.repository.wanted import wanted
from triton_models.storage import Storage


@pytest.fixture
def repository(tmp_path: Path) -> Storage:
    """Version 1 of `a`."""
    (tmp_path / "models").mkdir()
    repository = store_in(tmp_path / "models")
    publish_bytes(repository, "a", b"a1")
    return repository


@pytest.fixture
def cache(repository: Storage, tmp_path: Path) -> Iterator[Cache]:
    with open_cache(tmp_path / "copy", repository.uri) as cache:
        yield cache


def take(cache: Cache, repository: Storage, name: str = "a") -> str | None:
    """Brings one model up to date; gives its former config."""
    model = wanted(repository, name)
    cache.fetch(repository, model)
    return cache.point(name, model.config)


def version_folders(cache: Cache) -> list[str]:
    return sorted(path.name for path in (cache.models / "a").iterdir() if path.is_dir())


def test_a_copy_holds_what_it_was_given_and_its_config_names_the_versions(cache: Cache, repository: Storage) -> None:
    assert not cache.holds(wanted(repository, "a"))
    assert take(cache, repository) is None
    assert cache.holds(wanted(repository, "a"))
    assert (cache.names(), cache.served("a")) == (["a"], [1])
    assert (cache.models / "a" / "1" / "model.onnx").read_bytes() == b"a1"
    assert (cache.models / "a" / "1" / "card.json").read_bytes() == repository.read("a/1/card.json")


def test_a_download_changes_nothing_of_what_is_served(cache: Cache, repository: Storage) -> None:
    take(cache, repository)
    publish_bytes(repository, "a", b"a2")
    model = wanted(repository, "a")
    cache.fetch(repository, model)
    assert cache.served("a") == [1]
    assert not cache.holds(model)
    former = cache.point("a", model.config)
    assert cache.served("a") == [2]
    assert version_folders(cache) == ["1", "2"]
    cache.point("a", former)
    assert cache.served("a") == [1]


def test_only_what_is_served_stays(cache: Cache, repository: Storage) -> None:
    take(cache, repository)
    publish_bytes(repository, "a", b"a2")
    take(cache, repository)
    cache.tidy("a")
    assert version_folders(cache) == ["2"]
    cache.point("a", None)
    assert (cache.names(), cache.served("a")) == ([], [])


def test_a_version_that_is_corrupt_in_the_store_never_gets_into_the_copy(cache: Cache, repository: Storage) -> None:
    take(cache, repository)
    publish_bytes(repository, "a", b"a2")
    repository.write("a/2/model.onnx", b"a?")
    with pytest.raises(RepositoryError, match="is not what its card says"):
        cache.fetch(repository, wanted(repository, "a"))
    assert version_folders(cache) == ["1"]
    assert list((cache.folder / "incoming").iterdir()) == []


def test_a_version_that_was_replaced_under_its_number_is_taken_anew(cache: Cache, repository: Storage) -> None:
    take(cache, repository)
    repository.delete("a/1/card.json", "a/1/model.onnx", "a/1/assets/words.txt", "a/1/.claim")
    publish_bytes(repository, "a", b"another")
    assert not cache.holds(wanted(repository, "a"))
    take(cache, repository)
    assert (cache.models / "a" / "1" / "model.onnx").read_bytes() == b"another"


def test_a_changed_config_is_a_change(cache: Cache, repository: Storage) -> None:
    take(cache, repository)
    text = repository.read("a/config.pbtxt").decode()
    repository.write("a/config.pbtxt", text.replace("num_versions: 1", "num_versions: 2").encode())
    assert cache.holds(wanted(repository, "a"))  # it chooses the same version
    repository.write("a/config.pbtxt", text.replace("max_batch_size: 8", "max_batch_size: 4").encode())
    assert not cache.holds(wanted(repository, "a"))


@pytest.mark.parametrize("damage", ["file", "missing", "card", "config", "no config"])
def test_a_damaged_model_is_removed_and_the_reason_told(cache: Cache, repository: Storage, damage: str) -> None:
    take(cache, repository)
    assert cache.drop_damaged("a") is None
    model = cache.models / "a"
    if damage == "file":
        (model / "1" / "model.onnx").write_bytes(b"??")
    elif damage == "missing":
        (model / "1" / "assets" / "words.txt").unlink()
    elif damage == "card":
        (model / "1" / "card.json").write_bytes(b"{")
    elif damage == "config":
        (model / "config.pbtxt").write_bytes(b"{")
    else:
        (model / "config.pbtxt").unlink()
    assert cache.drop_damaged("a")
    assert cache.names() == []


def test_a_copy_knows_when_it_last_agreed_with_its_repository(cache: Cache) -> None:
    assert cache.age_s() is None
    cache.agree()
    age_s = cache.age_s()
    assert age_s is not None
    assert 0 <= age_s < 60


def test_a_copy_is_for_one_process_at_a_time(cache: Cache, repository: Storage, tmp_path: Path) -> None:
    with (
        pytest.raises(RepositoryError, match=r"another `rayton serve` uses the copy .*--cache of its own"),
        open_cache(tmp_path / "copy", repository.uri),
    ):
        pass


def test_what_a_killed_process_left_half_done_is_gone_and_its_copy_is_not(repository: Storage, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    with open_cache(folder, repository.uri) as cache:
        take(cache, repository)
        (folder / "incoming" / "half").mkdir()
        (folder / ".source.json.0123.tmp").touch()
    with open_cache(folder, repository.uri) as cache:
        assert list((folder / "incoming").iterdir()) == []
        assert cache.served("a") == [1]


def test_the_copy_of_another_repository_is_not_touched(tmp_path: Path) -> None:
    with open_cache(tmp_path / "copy", "s3://one", "http://store:1"):
        pass
    for uri, endpoint_url in (("s3://two", "http://store:1"), ("s3://one", None)):
        with (
            pytest.raises(RepositoryError, match=f"holds the copy of s3://one at http://store:1, not of {uri}"),
            open_cache(tmp_path / "copy", uri, endpoint_url),
        ):
            pass


@pytest.mark.parametrize("stranger", ["photos/cat.jpg", "models/a/config.pbtxt"])
def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path, stranger: str) -> None:
    (tmp_path / stranger).parent.mkdir(parents=True)
    (tmp_path / stranger).touch()
    with pytest.raises(RepositoryError, match="holds something else"), open_cache(tmp_path, "s3://models"):
        pass
    assert (tmp_path / stranger).exists()


def test_each_repository_has_a_folder_of_its_own_that_people_can_tell(tmp_path: Path) -> None:
    repositories = [("s3://models/a", None), ("s3://models-a", None), ("s3://models/a", "http://store:1")]
    folders = {default_folder(tmp_path, *one) for one in repositories}
    assert len(folders) == 3
    assert all(folder.name.startswith("s3-models-a-") for folder in folders)
