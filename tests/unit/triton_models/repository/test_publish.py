from __future__ import annotations

import hashlib
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.repositories import Y, card, config, everything, publish_bytes, store_in
from triton_models.config.pbtxt import to_pbtxt
from triton_models.errors import RepositoryError
from triton_models.repository.checksums import check_files
from triton_models.repository.publish import publish
from triton_models.repository.publishable import check_publishable
from triton_models.repository.staging import staging
from triton_models.repository.versions import read_card, read_config, versions
from triton_models.storage import Storage, open_storage
from triton_models.tensors import TensorSpec

PUBLISHERS = 6
LABEL = TensorSpec("label", "BYTES", (1,))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def repository(folder: Path) -> Storage:
    return open_storage(str(folder))


def test_a_version_holds_its_files_and_a_card_with_their_checksums(repository: Storage, folder: Path) -> None:
    published = publish_bytes(repository, "small", b"weights")
    assert sorted(everything(folder)) == [
        "small/1/assets/words.txt",
        "small/1/card.json",
        "small/1/model.onnx",
        "small/config.pbtxt",
    ]
    assert (published.uri, published.version) == (f"{folder}/small/1", 1)
    assert published.card == read_card(repository, "small", 1)
    assert (published.card.name, published.card.version) == ("small", 1)
    assert published.card.files["model.onnx"] == hashlib.sha256(b"weights").hexdigest()
    assert set(published.card.files) == {"model.onnx", "assets/words.txt"}


def test_versions_only_grow_and_never_change(repository: Storage, folder: Path) -> None:
    publish_bytes(repository, "small", b"first")
    before = everything(folder)
    assert publish_bytes(repository, "small", b"second").version == 2
    (folder / "small" / "9").mkdir()
    assert publish_bytes(repository, "small", b"third").version == 10
    assert before.items() <= everything(folder).items()


def test_a_version_is_put_together_beside_the_repository_and_not_inside(repository: Storage, folder: Path) -> None:
    with staging(repository) as staged:
        assert not staged.is_relative_to(folder)
        assert staged.parent.parent == folder.parent
        assert list(folder.iterdir()) == []
    assert list(folder.parent.iterdir()) == [folder]


def test_a_crash_in_the_middle_leaves_nothing(repository: Storage, folder: Path) -> None:
    def crash() -> None:
        with staging(repository) as staged:
            (staged / "model.onnx").write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crash()
    assert list(folder.parent.rglob("*")) == [folder]


@pytest.mark.parametrize("place", ["folder", "store"])
def test_publishers_at_the_same_time_get_a_version_each(place: str, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    repository = open_storage(str(folder)) if place == "folder" else store_in(folder)
    together = threading.Barrier(PUBLISHERS)

    def publisher(number: int) -> int:
        together.wait()
        return publish_bytes(repository, "small", str(number).encode()).version

    with ThreadPoolExecutor(PUBLISHERS) as pool:
        got = list(pool.map(publisher, range(PUBLISHERS)))
    assert sorted(got) == versions(repository, "small") == list(range(1, PUBLISHERS + 1))
    for number, version in enumerate(got):
        assert (folder / "small" / str(version) / "model.onnx").read_bytes() == str(number).encode()
        check_files(repository.at(f"small/{version}"), read_card(repository, "small", version))
    assert list(folder.parent.iterdir()) == [folder]


def test_other_tensors_are_refused_and_nothing_is_visible(repository: Storage, folder: Path) -> None:
    publish_bytes(repository, "small")
    before = everything(folder)
    with staging(repository) as staged:
        (staged / "model.onnx").write_bytes(b"other")
        with pytest.raises(RepositoryError, match=r"other tensors: output label BYTES\[1\] is new\. .* another name"):
            publish(repository, staged, card(outputs=(Y, LABEL)), config("small", outputs=(Y, LABEL)))
    assert everything(folder) == before


def test_a_config_that_the_operator_tuned_is_kept(repository: Storage) -> None:
    publish_bytes(repository, "small")
    tuned = repository.read("small/config.pbtxt") + b'parameters { key: "x" value { string_value: "1" } }\n'
    repository.write("small/config.pbtxt", tuned)
    publish_bytes(repository, "small")
    assert repository.read("small/config.pbtxt") == tuned


def test_a_folder_without_a_model_is_not_published(repository: Storage, folder: Path) -> None:
    with staging(repository) as staged, pytest.raises(RepositoryError, match=r"holds no model\.onnx"):
        publish(repository, staged, card(), config("small"))
    assert list(folder.iterdir()) == []


def test_a_name_that_cannot_be_one_is_refused(repository: Storage) -> None:
    with pytest.raises(RepositoryError, match=r"'\.\./small' cannot be the name"):
        check_publishable(repository, config("../small"))


def test_a_folder_of_files_that_no_config_describes_is_not_taken_over(repository: Storage, folder: Path) -> None:
    (folder / "small").mkdir(parents=True)
    (folder / "small" / "README").write_text("not mine")
    with pytest.raises(RepositoryError, match=r"small is there without a config\.pbtxt"):
        publish_bytes(repository, "small")


def test_an_empty_folder_of_the_name_does_not_matter(repository: Storage, folder: Path) -> None:
    (folder / "small").mkdir(parents=True)
    assert publish_bytes(repository, "small").version == 1


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RepositoryError, match="file"), staging(open_storage(str(tmp_path / "file"))):
        pass


def test_a_config_that_differs_is_kept_and_told(repository: Storage) -> None:
    publish_bytes(repository, "small")
    tuned = config("small")
    tuned.instance_group[0].count = 3
    repository.write("small/config.pbtxt", to_pbtxt(tuned).encode())
    assert publish_bytes(repository, "small").kept == ("instance_group[0].count 3 instead of 1",)
    assert read_config(repository, "small") == tuned


@pytest.mark.parametrize("place", ["folder", "store"])
def test_a_config_is_replaced_when_asked(place: str, tmp_path: Path) -> None:
    repository = open_storage(str(tmp_path / "models")) if place == "folder" else store_in(tmp_path)
    publish_bytes(repository, "small")
    tuned = config("small")
    tuned.instance_group[0].count = 3
    with staging(repository) as staged:
        (staged / "model.onnx").write_bytes(b"more")
        published = publish(repository, staged, card(), tuned, replace_config=True)
    assert (published.version, published.kept) == (2, ())
    assert read_config(repository, "small") == tuned


@pytest.mark.parametrize("earlier", [0, 1])
def test_a_full_disk_is_named_and_the_repository_is_as_it_was(repository: Storage, folder: Path, earlier: int) -> None:
    for _ in range(earlier):
        publish_bytes(repository, "small")
    before = everything(folder)
    with staging(repository) as staged:
        (staged / "model.onnx").write_bytes(b"weights")
        usual = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, usual[1]))
        try:
            with pytest.raises(RepositoryError, match=r"cannot be written to .*File too large.*nothing was published"):
                publish(repository, staged, card(), config("small"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert everything(folder) == before
    assert publish_bytes(repository, "small").version == earlier + 1
