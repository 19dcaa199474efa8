from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.repositories import publish_bytes, store_in
from triton_models.config.pbtxt import from_pbtxt
from triton_models.errors import RepositoryError
from triton_models.repository.checkout import check_out
from triton_models.storage import Storage, open_storage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "checked out"
    folder.mkdir()
    return folder


@pytest.fixture(params=["folder", "store"])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    place = tmp_path / "models"
    place.mkdir()
    return open_storage(str(place)) if request.param == "folder" else store_in(place)


def test_only_the_chosen_versions_are_there(repository: Storage, folder: Path) -> None:
    for name, content in (("a", b"a1"), ("a", b"a2"), ("a", b"a3"), ("b", b"b1"), ("c", b"c1")):
        publish_bytes(repository, name, content)
    check_out(repository, {"a": 2, "b": 1}, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b"]
    assert sorted(path.name for path in (folder / "a").iterdir()) == ["2", "config.pbtxt"]
    assert (folder / "a" / "2" / "model.onnx").read_bytes() == b"a2"
    assert (folder / "a" / "2" / "assets" / "words.txt").read_text() == "a word"


def test_a_server_of_the_folder_serves_exactly_these_versions(repository: Storage, folder: Path) -> None:
    publish_bytes(repository, "a")
    check_out(repository, {"a": 1}, folder)
    served = from_pbtxt((folder / "a" / "config.pbtxt").read_text(), "")
    assert list(served.version_policy.specific.versions) == [1]
    published = from_pbtxt(repository.read("a/config.pbtxt").decode(), "")
    published.version_policy.specific.versions.append(1)
    assert served == published


def test_versions_on_this_machine_are_linked_and_not_copied(tmp_path: Path, folder: Path) -> None:
    repository = open_storage(str(tmp_path / "models"))
    publish_bytes(repository, "a")
    check_out(repository, {"a": 1}, folder)
    assert (folder / "a" / "1").is_symlink()
    assert (folder / "a" / "1").resolve() == tmp_path / "models" / "a" / "1"


def test_a_download_that_is_not_what_its_card_says_is_refused(tmp_path: Path, folder: Path) -> None:
    repository = store_in(tmp_path)
    publish_bytes(repository, "a", b"weights")
    repository.write("a/1/model.onnx", b"weightz")
    with pytest.raises(RepositoryError, match=r"a/1/model\.onnx is not what its card says .*; export it again"):
        check_out(repository, {"a": 1}, folder)
    assert not (folder / "a" / "1" / "model.onnx").exists()


def test_a_model_or_version_that_is_not_there_is_named(repository: Storage, folder: Path) -> None:
    publish_bytes(repository, "a")
    with pytest.raises(RepositoryError, match="no version 2 of a; it has 1"):
        check_out(repository, {"a": 2}, folder)
    with pytest.raises(RepositoryError, match="no model 'z'; it has a"):
        check_out(repository, {"z": 1}, folder)


def test_a_model_without_its_config_is_named(repository: Storage, folder: Path) -> None:
    publish_bytes(repository, "a")
    repository.delete("a/config.pbtxt")
    with pytest.raises(RepositoryError, match=r"a/config\.pbtxt is missing; export a again"):
        check_out(repository, {"a": 1}, folder)
