from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support.repositories import Store, publish_bytes, store_in
from triton_models.card import Card
from triton_models.errors import CardError, RepositoryError
from triton_models.repository.download import ATTEMPTS, download_version
from triton_models.repository.versions import read_card
from triton_models.storage import Storage


@dataclass(frozen=True)
class UnsteadyStore(Store):
    """Damages the first `damaged` transfers of a file that it is asked for."""

    damaged: int = 0

    def pieces(self, path: str) -> Iterator[bytes]:
        """The content in pieces of two bytes."""
        content = self.read(path)
        if self.damaged:
            object.__setattr__(self, "damaged", self.damaged - 1)
            content = content[:-1]
        return (content[start : start + 2] for start in range(0, len(content), 2))


def version_in(folder: Path, damaged: int) -> tuple[Storage, Card]:
    store = store_in(folder)
    publish_bytes(store, "a")
    unsteady = UnsteadyStore(store.uri, store.root, store.filesystem, damaged=damaged)
    return unsteady.at("a/1"), read_card(store, "a", 1)


def test_a_version_arrives_whole_in_pieces(tmp_path: Path) -> None:
    version, card = version_in(tmp_path / "models", damaged=0)
    download_version(version, card, tmp_path / "copy")
    assert (tmp_path / "copy" / "model.onnx").read_bytes() == b"weights"
    assert (tmp_path / "copy" / "assets" / "words.txt").read_text() == "a word"


def test_a_damaged_transfer_is_repeated(tmp_path: Path) -> None:
    version, card = version_in(tmp_path / "models", damaged=ATTEMPTS - 1)
    download_version(version, card, tmp_path / "copy")
    assert (tmp_path / "copy" / "model.onnx").read_bytes() == b"weights"


def test_a_transfer_that_stays_damaged_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    version, card = version_in(tmp_path / "models", damaged=1000)
    with pytest.raises(RepositoryError, match=r"a/1/\S+ is not what its card says .*; export it again"):
        download_version(version, card, tmp_path / "copy")
    assert [path for path in (tmp_path / "copy").rglob("*") if path.is_file()] == []


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    version, card = version_in(tmp_path / "models", damaged=0)
    version.delete("model.onnx")
    with pytest.raises(RepositoryError, match=r"a/1/model\.onnx is missing; export the model again"):
        download_version(version, card, tmp_path / "copy")


@pytest.mark.parametrize("file", ["../stranger", "/tmp/stranger", "assets/../../stranger", ""])
def test_a_card_cannot_write_outside_its_version(tmp_path: Path, file: str) -> None:
    version, card = version_in(tmp_path / "models", damaged=0)
    with pytest.raises(CardError, match="outside its version; export it again"):
        download_version(version, replace(card, files={file: "0" * 64}), tmp_path / "copy")
    assert not (tmp_path / "stranger").exists()


def test_a_disk_that_does_not_take_it_is_named(tmp_path: Path) -> None:
    version, card = version_in(tmp_path / "models", damaged=0)
    (tmp_path / "copy").touch()
    with pytest.raises(RepositoryError, match=r"copy/\S+ cannot be written: .*; is the disk full\?"):
        download_version(version, card, tmp_path / "copy")
