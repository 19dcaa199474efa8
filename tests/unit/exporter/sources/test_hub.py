from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import constants

from exporter.errors import SourceError
from exporter.sources.hub import download, looks_like_hub_id

COMMIT = "8b3219a92973c328a8e22fadcfa821b5dc75636a"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, on a machine without a network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def cached(cache: Path, *files: str) -> Path:
    """A model in the cache as the hub's own client lays it out; gives its folder."""
    model = cache / "models--owner--tiny"
    folder = model / "snapshots" / COMMIT
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    for number, file in enumerate(files):
        blob = model / "blobs" / f"{number:040x}"
        blob.parent.mkdir(exist_ok=True)
        blob.write_text(json.dumps({}))
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).symlink_to(blob)
    return folder


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("owner/name", True),
        ("sentence-transformers/all-MiniLM-L6-v2", True),
        ("owner/name@main", True),
        ("owner/name@refs/pr/21", True),
        ("name", False),
        ("./owner/name", False),
        ("a/b/c", False),
        ("s3://models/name", False),
        ("folder/model.onnx", False),
        ("package.module:factory", False),
        ("folder/file.py:factory", False),
    ],
)
def test_an_id_is_an_owner_and_a_name(text: str, is_one: bool) -> None:
    assert looks_like_hub_id(text) == is_one


def test_a_folder_comes_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert not looks_like_hub_id("owner/name")


@pytest.mark.parametrize("text", ["owner/tiny", "owner/tiny@main", f"owner/tiny@{COMMIT}"])
def test_what_is_in_the_cache_needs_no_network_and_is_called_by_its_commit(cache: Path, text: str) -> None:
    folder = cached(cache, "config.json", "0_Transformer/model.safetensors")
    assert download(text) == (folder, "owner/tiny@8b3219a92973")


@pytest.mark.parametrize("text", ["owner/elsewhere", "owner/tiny@other"])
def test_what_is_neither_here_nor_there_says_what_to_do(cache: Path, text: str) -> None:
    cached(cache, "config.json", "model.safetensors")
    name = text.partition("@")[0]
    with pytest.raises(SourceError, match=f"there is no folder {text}.*cannot be reached.*hf download {name}") as told:
        download(text)
    assert "HF_HUB_OFFLINE" in told.value.details


def test_a_model_without_safetensors_is_refused(cache: Path) -> None:
    cached(cache, "config.json", "pytorch_model.bin")
    with pytest.raises(SourceError, match="owner/tiny has no weights as safetensors, and pickles are not fetched"):
        download("owner/tiny")
