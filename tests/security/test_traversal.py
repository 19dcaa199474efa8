"""Addresses and names from outside that become paths cannot leave their folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ray_pipeline.models import job_model
from ray_pipeline.sections import ModelSpec
from rayton import app
from tests.support.hostile import NO_NAMES, OUTSIDE
from tests.support.repositories import card, config, everything, publish_bytes
from triton_models.addresses import checked_uri
from triton_models.errors import RaytonError, RepositoryError, StorageError
from triton_models.repository.checkout import check_out
from triton_models.repository.layout import version_number
from triton_models.repository.publish import publish
from triton_models.repository.removal import retire
from triton_models.repository.rollback import roll_back
from triton_models.repository.staging import staging
from triton_models.repository.versions import newest, numbers, read_card, read_config
from triton_models.repository.wanted import wanted
from triton_models.storage import Storage, open_storage


@pytest.fixture(params=["folder", "bucket"])
def around(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A folder, or a part of a bucket, in which `outside` lies beside the folder `mine`."""
    if request.param == "folder":
        found = open_storage(str(tmp_path))
    else:
        found = open_storage("s3://bucket/around", request.getfixturevalue("store"))
    found.write("outside", b"secret")
    found.write("mine/a", b"mine")
    return found


OPERATIONS: dict[str, Callable[[Storage, str], Any]] = {
    "read": lambda mine, path: mine.read(path),
    "open": lambda mine, path: mine.open(path),
    "pieces": lambda mine, path: list(mine.pieces(path)),
    "stat": lambda mine, path: mine.stat(path),
    "age": lambda mine, path: mine.age_s(path),
    "folders": lambda mine, path: mine.folders(path),
    "at": lambda mine, path: mine.at(path),
    "write": lambda mine, path: mine.write(path, b"mine"),
    "write a file": lambda mine, path: mine.write(path, Path(__file__)),
    "create": lambda mine, path: mine.create(path, b"mine"),
    "copy from": lambda mine, path: mine.copy(path, "stolen"),
    "copy to": lambda mine, path: mine.copy("a", path),
    "delete": lambda mine, path: mine.delete("a", path),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_path_cannot_leave_its_folder(around: Storage, operation: str) -> None:
    before = {one.path: around.read(one.path) for one in around.objects()}
    for path in OUTSIDE:
        with pytest.raises(StorageError, match="leads out of this folder"):
            OPERATIONS[operation](around.at("mine"), path)
    assert {one.path: around.read(one.path) for one in around.objects()} == before


@pytest.mark.parametrize(
    "uri",
    [
        *("s3://b/../c", "s3://b/a/../../c", "s3://..", "s3://../x", "gs://b/..", "s3://", "s3:///x", "s3://b/a\0b"),
        *("\0", "/a\0b", "s3://[b", "file://host/share", "file://etc/passwd", "http://b/x"),
    ],
)
def test_an_address_that_is_not_the_folder_that_it_seems_is_refused(uri: str) -> None:
    with pytest.raises(StorageError):
        checked_uri(uri)
    with pytest.raises(StorageError):
        open_storage(uri)


MODEL = ModelSpec(name="m", inputs={"x": "x"}, outputs={"y": "y"})
ASKED: dict[str, Callable[[Storage, str], Any]] = {
    "config": read_config,
    "card": lambda repository, name: read_card(repository, name, 1),
    "newest": newest,
    "numbers": numbers,
    "wanted": wanted,
    "roll back": roll_back,
    "retire": lambda repository, name: retire(repository, name, 1),
    "check out": lambda repository, name: check_out(repository, {name: 1}, Path("/nonexistent")),
    "job": lambda repository, name: job_model(MODEL.model_copy(update={"name": name}), repository, 1),
}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("name", NO_NAMES)
def test_a_model_with_a_name_that_is_a_path_is_never_looked_for(tmp_path: Path, asked: str, name: str) -> None:
    publish_bytes(open_storage(str(tmp_path)), "outside")
    before = everything(tmp_path)
    with pytest.raises(RepositoryError, match="cannot be the name of a model"):
        ASKED[asked](open_storage(str(tmp_path / "models")), name)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("name", NO_NAMES)
def test_nothing_is_published_under_a_name_that_is_a_path(tmp_path: Path, name: str) -> None:
    repository = open_storage(str(tmp_path / "models"))
    with staging(repository) as staged:
        (staged / "model.onnx").write_bytes(b"weights")
        with pytest.raises(RepositoryError, match="cannot be the name of a model"):
            publish(repository, staged, card(), config(name))
    assert everything(tmp_path) == {}


@pytest.mark.parametrize(
    "words",
    [
        ("models", "card", "../outside"),
        ("models", "diff", "../outside", "1", "2"),
        ("models", "rollback", "../outside"),
        ("models", "retire", "../outside", "1"),
        ("models", "gc", "../outside", "--keep", "1"),
        ("export", "model.onnx", "--name", "../outside"),
        ("serve", "--model", "../outside", "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"),
    ],
)
def test_no_command_takes_a_path_for_the_name_of_a_model(tmp_path: Path, words: tuple[str, ...]) -> None:
    publish_bytes(open_storage(str(tmp_path)), "outside")
    publish_bytes(open_storage(str(tmp_path / "models")), "m")
    before = everything(tmp_path)
    result = CliRunner().invoke(app, [*words, "--repository", str(tmp_path / "models")])
    assert isinstance(result.exception, RaytonError), result.exception
    assert everything(tmp_path) == before


@pytest.mark.parametrize("folder", ["0", "01", "+1", "-1", "1.tmp", "..", "1/../2", "١", "9" * 19, " 1"])
def test_a_folder_that_is_no_number_of_64_bits_is_no_version(folder: str) -> None:
    assert version_number(folder) is None
