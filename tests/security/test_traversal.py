"""Names from outside that become paths cannot leave their folders: attacks on each place where they become one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pytest
from rich.console import Console
from typer.testing import CliRunner

from ray_pipeline.chunk import Chunk, Piece
from ray_pipeline.errors import InputError
from ray_pipeline.job import run_job
from ray_pipeline.models import job_model
from ray_pipeline.output import parts
from ray_pipeline.output.claim import write_plan
from ray_pipeline.plan import Plan, check_named, make_plan
from ray_pipeline.report import Report
from ray_pipeline.sections import ModelSpec
from ray_pipeline.sinks.formats import SINKS
from ray_pipeline.spec import JobSpec
from rayton import app
from tests.support.committed import PLAN
from tests.support.hostile import NO_NAMES, OUTSIDE
from tests.support.numbered import NAME, publish_number
from tests.support.repositories import card, config, everything, publish_bytes, store_in
from tests.support.s3 import object_store
from triton_models.addresses import checked_uri
from triton_models.card import Card, TextPreparation
from triton_models.config.pbtxt import to_pbtxt
from triton_models.errors import CardError, ConfigError, RaytonError, RepositoryError, StorageError
from triton_models.repository.cache import open_cache
from triton_models.repository.checkout import check_out
from triton_models.repository.clean import clean
from triton_models.repository.layout import version_number
from triton_models.repository.publish import publish
from triton_models.repository.removal import retire
from triton_models.repository.rollback import roll_back
from triton_models.repository.staging import staging
from triton_models.repository.versions import models, newest, numbers, read_card, read_config
from triton_models.repository.wanted import wanted
from triton_models.server.follow import Follower
from triton_models.server.options import ServerOptions
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime
from triton_models.storage import Storage, open_storage


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """The address of an object store with the bucket `bucket`."""
    with object_store("bucket") as address:
        yield address


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


def test_parts_with_strange_names_are_no_parts(store: str) -> None:
    output = open_storage("s3://bucket/out", store)
    client = boto3.client("s3", endpoint_url=store)
    for key in ("out/data/part-../../../other.parquet", "out/data/../part-x.parquet", "other.parquet"):
        client.put_object(Bucket="bucket", Key=key, Body=b"evil")
    with suppress(StorageError):
        assert parts.tidy(output, SINKS["parquet"], PLAN) == {}
    assert client.get_object(Bucket="bucket", Key="other.parquet")["Body"].read() == b"evil"


@pytest.fixture
def spec(tmp_path: Path) -> JobSpec:
    """A job over `in/*.csv`; beside it lies a file of others, of the same columns."""
    for folder, text in (("in", "mine"), ("outside", "secret")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.csv").write_text(f"x\n{text}\n")
    return JobSpec.model_validate(
        {
            "input": {"uri": str(tmp_path / "in"), "keep": ["x"]},
            "models": [{"name": "m", "inputs": {"x": "x"}, "outputs": {"y": "y"}}],
            "output": {"uri": str(tmp_path / "out")},
            "triton": {"url": "localhost:1"},
        }
    )


@pytest.mark.parametrize(
    ("folder", "path"),
    [
        ("in", "../outside/a.csv"),
        ("in", "a.csv/../../outside/a.csv"),
        ("outside", "a.csv"),
        ("", "outside/a.csv"),
        ("", "in/../outside/a.csv"),
    ],
)
def test_a_plan_that_others_wrote_cannot_let_a_job_read_beside_its_input(
    spec: JobSpec, tmp_path: Path, folder: str, path: str
) -> None:
    output = open_storage(spec.output.uri)
    plan = make_plan(spec)
    check_named(plan, spec.input.uri)
    secret = open_storage(str(tmp_path / "outside")).stat("a.csv")
    assert secret is not None
    piece = replace(plan.chunks[0].pieces[0], path=path, stamp=secret.stamp)
    write_plan(output, replace(plan, folder=str(tmp_path / folder).rstrip("/"), chunks=(Chunk((piece,)),)))
    with pytest.raises(RaytonError, match=r"does not name|is no plan of a job"):
        run_job(spec, tmp_path, None, Report(Console(quiet=True), spec.output.uri))
    assert [one.path for one in output.objects(hidden=True)] == ["_plan.parquet"]


@pytest.mark.parametrize(
    ("uri", "folder", "path", "named"),
    [
        ("/d", "/d", "a.csv", True),
        ("/d/", "/d", "deep/a.csv", True),
        ("/d/a.csv", "/d", "a.csv", True),
        ("/a.csv", "/", "a.csv", True),
        ("/d/*.csv", "/d", "a.csv", True),
        ("/d/**/*.csv", "/d", "x/y/a.csv", True),
        ("s3://b/d", "s3://b/d", "a.csv", True),
        ("s3://b/d/part-[ab].csv", "s3://b/d", "part-a.csv", True),
        ("/d/*.csv", "/d", "x/a.csv", False),
        ("/d/a.csv", "/d", "b.csv", False),
        ("/d", "/", "d/a.csv", False),
        ("/d", "/d", "../e/a.csv", False),
        ("s3://b/d", "/d", "a.csv", False),
        ("s3://b/d", "s3://b", "e/a.csv", False),
    ],
)
def test_what_an_input_names(uri: str, folder: str, path: str, named: bool) -> None:
    plan = Plan(folder, pa.schema([]), (Chunk((Piece(path, "s", 1),)),))
    with nullcontext() if named else pytest.raises(InputError, match="does not name"):
        check_named(plan, uri)


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
