"""How a version gets into an object store: whole, or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pyarrow as pa
import pytest

from tests.support.repositories import Store, Y, config, everything, publish_bytes, store_in
from triton_models.config.pbtxt import to_pbtxt
from triton_models.errors import RepositoryError
from triton_models.repository.checkout import check_out
from triton_models.repository.versions import newest, read_card, read_config, versions
from triton_models.storage import Storage, open_storage
from triton_models.tensors import TensorSpec

LABEL = TensorSpec("label", "BYTES", (1,))


class BreaksOffError(Exception):
    """What happens to an upload in the middle."""


@dataclass(frozen=True)
class BreakingStore(Store):
    """Takes some files and then breaks off, at the first file or at the last, which is the card."""

    writes: count[int] = field(default_factory=count)
    taken: int = 0

    def write(self, path: str, content: bytes | pa.Buffer | Path) -> None:
        if next(self.writes) == self.taken:
            raise BreaksOffError
        super().write(path, content)


@pytest.mark.parametrize("taken", [0, 1, 2])
@pytest.mark.parametrize("earlier", [0, 1])
def test_an_upload_that_breaks_off_leaves_the_store_as_it_was(tmp_path: Path, taken: int, earlier: int) -> None:
    store = store_in(tmp_path)
    for _ in range(earlier):
        publish_bytes(store, "small")
    before = everything(tmp_path)
    breaking = BreakingStore(store.uri, store.root, store.filesystem, taken=taken)
    with pytest.raises(BreaksOffError):
        publish_bytes(breaking, "small")
    assert everything(tmp_path) == before
    assert publish_bytes(store, "small").card == read_card(store, "small", newest(store, "small"))


def half_uploaded(store: Storage) -> None:
    store.create("small/2/.claim", b"whose process was killed")
    store.write("small/2/model.onnx", b"half")


def test_an_upload_that_was_killed_is_no_version_for_anybody(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "checked out").mkdir()
    store = store_in(tmp_path / "store")
    publish_bytes(store, "small")
    half_uploaded(store)
    assert (newest(store, "small"), versions(store, "small")) == (1, [1])
    with pytest.raises(RepositoryError, match=r"version 2 of small in .* is unfinished"):
        check_out(store, {"small": 2}, tmp_path / "checked out")
    assert publish_bytes(store, "small").version == 3
    assert (newest(store, "small"), versions(store, "small")) == (3, [1, 3])


def test_a_model_whose_only_upload_was_killed_is_not_there(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    half_uploaded(store)
    with pytest.raises(RepositoryError, match="has no model 'small'"):
        newest(store, "small")
    assert publish_bytes(store, "small").version == 3


class MeddledStore(Store):
    """While a model is uploaded, someone else does something to the store."""

    def write(self, path: str, content: bytes | pa.Buffer | Path) -> None:
        super().write(path, content)
        if path.endswith("model.onnx"):
            self.meddle()

    def meddle(self) -> None:
        raise NotImplementedError


class ClaimRemoved(MeddledStore):
    def meddle(self) -> None:
        self.delete("small/1/.claim")


class OtherModelPublished(MeddledStore):
    def meddle(self) -> None:
        other = config("small", outputs=(Y, LABEL))
        self.create("small/config.pbtxt", to_pbtxt(other).encode())


@pytest.mark.parametrize(
    ("kind", "said", "left"),
    [
        (ClaimRemoved, r"small/1/\.claim was removed while version 1 was uploaded", set()),
        (OtherModelPublished, "has other tensors: output label .* is gone", {"small/config.pbtxt"}),
    ],
)
def test_a_store_in_which_something_happened_meanwhile_gets_no_version(
    tmp_path: Path, kind: type[Store], said: str, left: set[str]
) -> None:
    store = store_in(tmp_path)
    with pytest.raises(RepositoryError, match=said):
        publish_bytes(kind(store.uri, store.root, store.filesystem), "small")
    assert set(everything(tmp_path)) == left


def test_a_store_gets_the_same_files_as_a_folder(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    repository = open_storage(str(tmp_path / "models"))
    for place in (repository, store_in(tmp_path / "store")):
        publish_bytes(place, "small")
    there, here = everything(tmp_path / "store"), everything(tmp_path / "models")
    assert there.keys() == here.keys() | {"small/1/.claim"}
    assert there["small/config.pbtxt"] == here["small/config.pbtxt"]
    assert read_config(repository, "small") == config("small")
