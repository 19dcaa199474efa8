"""What a repository names, in cards, configs, keys and links, lies in it: each place that follows such a name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from ray_pipeline.models import job_model
from ray_pipeline.sections import ModelSpec
from tests.support.numbered import NAME, publish_number
from tests.support.repositories import card, config, everything, publish_bytes, store_in
from triton_models.card import Card, TextPreparation
from triton_models.config.pbtxt import to_pbtxt
from triton_models.errors import CardError, ConfigError, RepositoryError, StorageError
from triton_models.repository.cache import open_cache
from triton_models.repository.checkout import check_out
from triton_models.repository.clean import clean
from triton_models.repository.removal import retire
from triton_models.repository.rollback import roll_back
from triton_models.repository.versions import models, numbers, read_card, read_config
from triton_models.repository.wanted import wanted
from triton_models.server.follow import Follower
from triton_models.server.options import ServerOptions
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime
from triton_models.storage import Storage, open_storage

MODEL = ModelSpec(name="m", inputs={"x": "x"}, outputs={"y": "y"})


def forged(repository: Storage, **changes: Any) -> None:
    """A card that somebody wrote over that of version 1 of `m`."""
    found = json.loads(repository.read("m/1/card.json")) | changes
    repository.write("m/1/card.json", json.dumps(found).encode())


@pytest.fixture(params=["folder", "store"])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Two versions of `m`, and beside the repository a file that is not its own."""
    (tmp_path / "models").mkdir()
    (tmp_path / "outside").write_bytes(b"secret")
    found = open_storage(str(tmp_path / "models")) if request.param == "folder" else store_in(tmp_path / "models")
    publish_bytes(found, "m")
    publish_bytes(found, "m", b"other weights")
    return found


TAKEN: dict[str, Callable[[Storage, Path], Any]] = {
    "roll back": lambda repository, _: roll_back(repository, "m", 1),
    "check out": lambda repository, folder: check_out(repository, {"m": 1}, folder),
    "job": lambda repository, _: job_model(MODEL, repository, 1),
    "card": lambda repository, _: read_card(repository, "m", 1),
}


@pytest.mark.parametrize("taken", TAKEN)
@pytest.mark.parametrize("file", ["../../../outside", "/outside", "../../../../made", "x\0y", ""])
def test_a_card_cannot_name_a_file_outside_its_version(
    repository: Storage, tmp_path: Path, taken: str, file: str
) -> None:
    forged(repository, files={"model.onnx": "0" * 64, file: hashlib.sha256(b"secret").hexdigest()})
    (tmp_path / "node").mkdir()
    before = everything(tmp_path)
    with pytest.raises(CardError, match="outside its version"):
        TAKEN[taken](repository, tmp_path / "node")
    after = everything(tmp_path)
    assert {path: content for path, content in after.items() if "config.pbtxt" not in path} == {
        path: content for path, content in before.items() if "config.pbtxt" not in path
    }


@pytest.mark.parametrize("tokenizer", ["../../../outside", "/outside", "../2/model.onnx", ""])
def test_a_card_cannot_name_a_tokenizer_outside_its_version(repository: Storage, tokenizer: str) -> None:
    text = TextPreparation("assets/words.txt", 8, 0, "ids", None, None, True)
    forged(repository, preparation={**vars(text), "tokenizer": tokenizer})
    spec = MODEL.model_copy(update={"inputs": {"text": "x"}})
    with pytest.raises(CardError, match="outside its version"):
        job_model(spec, repository, 1)
    with pytest.raises(CardError, match="outside its version"):
        replace(card(), preparation=replace(text, tokenizer=tokenizer))


def test_a_card_that_gives_another_name_leads_nowhere_else(repository: Storage, tmp_path: Path) -> None:
    """Which version a card belongs to is said by where it lies."""
    (tmp_path / "outside-model" / "1").mkdir(parents=True)
    (tmp_path / "outside-model" / "1" / "model.onnx").write_bytes(b"secret")
    forged(repository, name="../outside-model", version=1)
    rolled = roll_back(repository, "m", 1)
    assert repository.read(f"m/{rolled.version}/model.onnx") == b"weights"
    assert rolled.card.name == "m"
    assert job_model(MODEL, repository, 1).checksum == rolled.card.files["model.onnx"]


STRAYS: dict[str, Callable[[Any], Any]] = {
    "model file": lambda found: setattr(found, "default_model_filename", "../../../outside"),
    "absolute model file": lambda found: setattr(found, "default_model_filename", "/etc/passwd"),
    "model file of a GPU": lambda found: found.cc_model_filenames.update({"8.0": "../outside"}),
    "warm-up": lambda found: warm_up_from(found, "../../outside"),
}


def warm_up_from(found: Any, file: str) -> None:
    found.model_warmup.add(name="w", batch_size=1).inputs["x"].input_data_file = file


@pytest.mark.parametrize("stray", STRAYS)
def test_a_config_cannot_name_a_file_outside_its_model(repository: Storage, stray: str) -> None:
    found = config("m")
    STRAYS[stray](found)
    repository.write("m/config.pbtxt", to_pbtxt(found).encode())
    for take in (wanted, lambda repository, name: roll_back(repository, name, 1), read_config):
        with pytest.raises(ConfigError, match=r"m/config\.pbtxt: .* is not in the folder of the model"):
            take(repository, "m")


def test_a_server_is_not_started_with_a_config_that_names_a_file_outside(runtime: Runtime, tmp_path: Path) -> None:
    repository = open_storage(str(tmp_path / "models"))
    publish_number(repository, 1)
    found = read_config(repository, NAME)
    assert found is not None
    found.default_model_filename = "../../../outside.onnx"
    repository.write(f"{NAME}/config.pbtxt", to_pbtxt(found).encode())
    with pytest.raises(ConfigError, match="is not in the folder of the model"):
        NodeServer.start(runtime, ServerOptions(tmp_path / "models", tmp_path / "log"))
    assert not (tmp_path / "log").exists()


STRANGE_KEYS = (
    "models/../config.pbtxt",
    "models/../../outside",
    "models/m/1/../../../../made",
    "models/m/../9/card.json",
    "models/..\\..\\made/config.pbtxt",
    "models//made/config.pbtxt",
    "models/m/1/a\\..\\..\\b",
    "models/m/1/\x01\x1b[31m",
    "models/m/99999999999999999999/card.json",
    "/made",
)


def test_a_copy_of_a_bucket_with_strange_keys_holds_what_the_cards_name_and_nothing_else(
    store: str, tmp_path: Path
) -> None:
    bucket = open_storage("s3://bucket/models", store)
    publish_bytes(bucket, "m")
    publish_bytes(bucket, "m")
    client = boto3.client("s3", endpoint_url=store)
    for key in STRANGE_KEYS:
        client.put_object(Bucket="bucket", Key=key, Body=b"evil")
    home = tmp_path / "deep" / "er"
    home.mkdir(parents=True)
    with open_cache(home / "copy", bucket.uri, store) as copy:
        Follower(copy, lambda: bucket, ("m",), print).prepare()
        follower = Follower(copy, lambda: bucket, None, print)
        with suppress(RepositoryError):  # a model called `..\..\made` may be in the bucket, but is served by nobody
            follower.prepare()
    assert {*everything(tmp_path)} == {
        "deep/er/copy/lock",
        "deep/er/copy/source.json",
        "deep/er/copy/models/m/config.pbtxt",
        "deep/er/copy/models/m/2/card.json",
        "deep/er/copy/models/m/2/model.onnx",
        "deep/er/copy/models/m/2/assets/words.txt",
    }
    assert ".." not in models(bucket)
    assert roll_back(bucket, "m", 1).version == 3
    with pytest.raises(StorageError, match="cannot be deleted"):  # a key that nobody could have written by mistake
        clean(bucket, "m", keep=1, unfinished_age_s=0)
    there = {one["Key"] for one in client.list_objects_v2(Bucket="bucket")["Contents"]}
    assert {"models/../../outside", "models/../config.pbtxt", "/made"} <= there  # what is not the model's stays


def test_what_is_removed_from_a_folder_is_not_what_a_link_in_it_points_to(tmp_path: Path) -> None:
    repository = open_storage(str(tmp_path / "models"))
    for content in (b"1", b"2", b"3"):
        publish_bytes(repository, "m", content)
    outside = tmp_path / "outside"
    (tmp_path / "models" / "m" / "1").rename(outside)
    (tmp_path / "models" / "m" / "1").symlink_to(outside)
    (tmp_path / "models" / "m" / "2" / "link").symlink_to(outside)
    before = everything(outside)
    retire(repository, "m", 1)
    clean(repository, "m", keep=1, unfinished_age_s=0)
    assert numbers(repository, "m") == [3]
    assert everything(outside) == before


def test_a_link_in_a_version_is_not_taken_for_the_file_that_its_card_names(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    repository = open_storage(str(tmp_path / "models"))
    publish_bytes(repository, "m")
    publish_bytes(repository, "m")
    model = tmp_path / "models" / "m" / "1" / "model.onnx"
    model.unlink()
    model.symlink_to(tmp_path / "outside")
    (tmp_path / "node").mkdir()
    for take in (lambda: roll_back(repository, "m", 1), lambda: check_out(repository, {"m": 1}, tmp_path / "node")):
        with pytest.raises(RepositoryError, match="is not what its card says"):
            take()
    assert b"secret" not in everything(tmp_path / "models").values() or model.is_symlink()
    assert read_card(repository, "m", 1) == Card.from_json((model.parent / "card.json").read_text(), "card.json")
