from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from tests.support.repositories import Store, Y, card, config, publish_bytes, store_in
from triton_models.errors import RepositoryError
from triton_models.repository.publish import check_publishable, publish, staging
from triton_models.repository.versions import newest, read_card, read_config, versions
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


def everything(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


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


def test_publishers_at_the_same_time_get_a_version_each(repository: Storage, folder: Path) -> None:
    together = threading.Barrier(PUBLISHERS)

    def publisher(number: int) -> int:
        together.wait()
        return publish_bytes(repository, "small", str(number).encode()).version

    with ThreadPoolExecutor(PUBLISHERS) as pool:
        got = list(pool.map(publisher, range(PUBLISHERS)))
    assert sorted(got) == versions(repository, "small") == list(range(1, PUBLISHERS + 1))
    for number, version in enumerate(got):
        assert (folder / "small" / str(version) / "model.onnx").read_bytes() == str(number).encode()
        assert read_card(repository, "small", version).version == version
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


class BreaksOffError(Exception):
    """What happens to an upload in the middle."""


class BreakingStore(Store):
    """Holds the four objects of a whole version, its config among them, and takes two more."""

    def write(self, path: str, content: bytes | pa.Buffer) -> None:
        if len(everything(Path(self.filesystem.base_path))) == 6:
            raise BreaksOffError
        super().write(path, content)


def test_an_upload_that_breaks_off_is_not_the_newest_version(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    publish_bytes(store, "small")
    breaking = BreakingStore(store.uri, store.root, store.filesystem)
    with pytest.raises(BreaksOffError):
        publish_bytes(breaking, "small")
    assert (tmp_path / "small" / "2" / "model.onnx").exists()
    assert newest(store, "small") == 1
    assert publish_bytes(store, "small").version == 3
    assert newest(store, "small") == 3


def test_a_store_gets_the_same_files_as_a_folder(repository: Storage, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    for place in (repository, store_in(tmp_path / "store")):
        publish_bytes(place, "small")
    there, here = everything(tmp_path / "store"), everything(folder)
    assert there.keys() == here.keys()
    assert there["small/config.pbtxt"] == here["small/config.pbtxt"]
    assert read_config(repository, "small") == config("small")
