"""Secrets are found nowhere: not in what commands print, in logs, buckets, copies, Ray's session, or process lists."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from rayton import app
from tests.support.command import run_rayton
from tests.support.jobs import write_job
from tests.support.numbered import NAME
from tests.support.onnx_models import onnx_file
from tests.support.s3 import Guarded, guarded_store
from tests.support.secrets import Secrets
from tests.support.serving import serving
from triton_models.errors import RaytonError
from triton_models.server.runtime import Runtime
from triton_models.storage import open_storage

WRONG_SECRET = "MadeUpWrongSecret/1234567890abcdefghijkl"
WRONG_KEY = "AKIAMADEUPWRONGKEY00"
TOKEN = "MadeUpSessionToken//////////1234567890=="
USER, PASSWORD = "madeupuser77", "MadeUpPassword77"
MODEL = f'name = "{NAME}"\ninputs = {{ x = "x" }}\noutputs = {{ y = "y" }}'
GRAPH = "g (float[N, 1] x) => (float[N, 1] y) { y = Add(x, x) }"


@dataclass
class Place:
    """A guarded store with some input, a home of its own, and everything that the commands have said."""

    store: Guarded
    home: Path
    ray: Path
    folder: Path
    secrets: Secrets
    said: dict[str, str] = field(default_factory=dict)

    def run(self, title: str, *words: str, fails: bool = False) -> str:
        """Runs a command; gives all that it said."""
        ended = run_rayton(self.home, *words, timeout_s=120)
        said = ended.stdout + ended.stderr
        self.said[title] = said
        assert ended.returncode == (1 if fails else 0), said
        assert "Traceback" not in said, said
        return said

    @property
    def endpoint_url(self) -> str:
        """Where commands look for the store."""
        return os.environ["AWS_ENDPOINT_URL"]

    def job(self, name: str, **changes: object) -> str:
        """The file of a job over the input of the store."""
        settings: dict[str, object] = {
            "input": "s3://data/in",
            "output": f"s3://data/{name}",
            "triton": {"repository": "s3://data/models"},
            "store_timeout_s": 1,
            "endpoint_url": None if "@" in self.endpoint_url else self.endpoint_url,  # that of the environment, too
        }
        return str(write_job(self.folder / f"{name}.toml", model=MODEL, **settings | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def place(runtime: Runtime, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Commands have the home, the folder for Ray's session and the credentials in their environment."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "home").mkdir()
    (folder / "home" / "runtimes").symlink_to(home / "runtimes")
    ray = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # a socket lies in it, whose path must be short
    try:
        with guarded_store("data") as store, mock.patch.dict(os.environ, {"RAY_TMPDIR": str(ray)}):
            table = pa.table({"id": range(100), "x": pa.array(range(100), pa.float32())})
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink)
            open_storage("s3://data/in", store.address).write("a.parquet", sink.getvalue())
            onnx_file(folder / "model.onnx", GRAPH)
            secrets = Secrets(store.secret, store.key, WRONG_SECRET, WRONG_KEY, TOKEN, PASSWORD)
            yield Place(store, folder / "home", ray, folder, secrets)
    finally:
        shutil.rmtree(ray)


def found_in(place: Place) -> dict[str, list[str]]:
    """Where a secret was found, by kind of place; empty where nowhere."""
    looked = {
        "printed": [title for title, said in place.said.items() if place.secrets.in_bytes(said.encode())],
        "home": place.secrets.in_files(place.home),
        "Ray": place.secrets.in_files(place.ray),
        "bucket": place.secrets.in_bucket(place.store.client(), "data"),
    }
    return {kind: found for kind, found in looked.items() if found}


def test_a_secret_that_is_there_is_found(place: Place, tmp_path: Path) -> None:
    """So the searches below do not pass because they see nothing."""
    secret = place.store.secret
    (tmp_path / "log").write_text(f"key={secret}")
    pq.write_table(pa.table({"a": [f"a {secret}"] * 1000}), tmp_path / "table", compression="zstd")
    assert place.secrets.in_files(tmp_path) == [str(tmp_path / "log"), str(tmp_path / "table")]
    place.store.client().put_object(Bucket="data", Key="leak", Body=secret.encode())
    assert place.secrets.in_bucket(place.store.client(), "data") == ["leak"]
    place.store.client().delete_object(Bucket="data", Key="leak")
    with place.secrets.watched() as seen:
        subprocess.run([sys.executable, "-c", "import time; time.sleep(0.5)", secret], check=True)
    assert seen.guilty


def test_whole_runs_leave_no_secret_anywhere(place: Place) -> None:
    with place.secrets.watched() as seen:
        model = str(place.folder / "model.onnx")
        place.run("export", "export", model, "--name", NAME, "--repository", "s3://data/models")
        job = place.job("out")
        place.run("plan", "plan", job)
        place.run("score", "score", job)
        place.run("status", "status", "s3://data/out")
        place.run("verify", "verify", "s3://data/out")
        with serving(place.home, "s3://data/models") as served:
            place.run("doctor", "doctor", served.report["gRPC"], "--requests", "20")
            place.said["serve"] = "\n".join(served.lines)
    assert found_in(place) == {}
    assert seen.guilty == set()
    assert any(b"tritonserver" in command for command in seen.commands)
    assert any(b"ray" in command for command in seen.commands)
    assert (place.home / "logs").is_dir()
    assert any("session_" in str(path) for path in place.ray.rglob("*.log"))


WRONG = {
    "a wrong secret": {"AWS_SECRET_ACCESS_KEY": WRONG_SECRET},
    "a wrong key": {"AWS_ACCESS_KEY_ID": WRONG_KEY, "AWS_SECRET_ACCESS_KEY": WRONG_SECRET, "AWS_SESSION_TOKEN": TOKEN},
    "nobody there": {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
    "a proxy": {"AWS_ENDPOINT_URL": f"http://{USER}:{PASSWORD}@127.0.0.1:1"},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_no_failure_tells_a_secret(place: Place, wrong: str) -> None:
    any_ports = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
    cache = ("--cache", str(place.folder / f"copy of {wrong}"))
    with mock.patch.dict(os.environ, WRONG[wrong]), place.secrets.watched() as seen:
        place.run(f"serve, {wrong}", "serve", "--repository", "s3://data/models", *any_ports, *cache, fails=True)
        place.run(f"plan, {wrong}", "plan", place.job("wrong"), fails=True)
        place.run(f"score, {wrong}", "score", place.job("wrong"), fails=True)
        if wrong != "nobody there":  # who is waited for
            place.run(f"status, {wrong}", "status", "s3://data/out", fails=True)
    assert found_in(place) == {}
    assert place.secrets.in_files(place.folder) == []
    assert seen.guilty == set()


AT = f"{USER}:{PASSWORD}@"


@pytest.mark.parametrize(
    "words",
    [
        ("models", "list", "--repository", f"s3://{AT}data/models"),
        ("models", "list", "--repository", f"s3://data/models?secret_key={PASSWORD}"),
        ("models", "list", "--repository", f"https://{AT}host/models"),
        ("models", "list", "--repository", f"s3://{AT}[data"),
        ("models", "rollback", NAME, "--repository", "s3://data/models", "--load", f"{AT}localhost:8001"),
        ("export", "model.onnx", "--name", "m", "--repository", f"s3://{AT}data/models"),
        ("export", "model.onnx", "--name", "m", "--repository", "models", "--load", f"{AT}localhost:8001"),
        ("serve", "--repository", f"s3://{AT}data/models"),
        ("serve", "--repository", "s3://data/models", "--bulk-lane", "--beside", f"{AT}localhost:8001"),
        ("status", f"s3://{AT}data/out"),
        ("status", "s3://data/out", "--endpoint-url", f"http://{AT}127.0.0.1:1"),
        ("verify", "s3://data/out", "--endpoint-url", f"{AT}127.0.0.1:1"),
        ("pause", f"gs://{AT}data/out"),
        ("doctor", f"{AT}localhost:8001"),
    ],
)
def test_an_address_with_credentials_is_refused_and_not_repeated(place: Place, words: tuple[str, ...]) -> None:
    said = refusal(*words)
    assert "credentials" in said
    assert not place.secrets.in_bytes(said.encode())


@pytest.mark.parametrize(
    "changes",
    [
        {"input": f"s3://{AT}data/in"},
        {"output": f"s3://{AT}data/out"},
        {"triton": {"repository": f"s3://{AT}data/models"}},
        {"triton": {"url": f"{AT}localhost:8001"}},
        {"endpoint_url": f"http://{AT}127.0.0.1:1"},
    ],
)
def test_a_job_file_with_credentials_is_refused_and_they_are_not_repeated(
    place: Place, changes: dict[str, object]
) -> None:
    job = place.job("credentials", **changes)
    said = refusal("plan", job)
    assert "credentials" in said
    assert not place.secrets.in_bytes(said.encode())
    Path(job).unlink()


def refusal(*words: str) -> str:
    """All that a command says which must end with a message for people."""
    result = CliRunner().invoke(app, [*words])
    assert isinstance(result.exception, RaytonError), result.exception
    return f"{result.output}{result.exception}"
