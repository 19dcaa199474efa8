"""An export is killed without warning, again and again: what can be seen of it is always whole."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication

from tests.support.command import run_rayton, start_rayton
from tests.support.onnx_models import DOUBLES, onnx_file
from tests.support.s3 import object_store
from triton_models.repository.checksums import check_files
from triton_models.repository.staging import PREFIX
from triton_models.repository.versions import models, numbers, read_card, read_config, versions
from triton_models.storage import Storage, open_storage

FACTORY = f"{Path(__file__).parents[2]}/support/factories/modules.py:mlp"
BUCKET = "models"
PUBLISHING = "publishing"
SEED = 20

MOMENTS_OF_THE_FIRST = (1, 3, 4)
"""Writes of the first export of a model: its claim, the claim again, the model, its config, the config again, its card.

A second write that is refused shows that the store knows conditional writes.
"""
CONFIG_IS_THERE = 4
MOMENTS_OF_THE_NEXT = (2, 3)
"""Writes of later exports: the claim, the claim again, the model, the card."""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where versions for a store are put together."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    return temporary


def test_an_export_into_a_folder_that_is_killed_at_any_moment_shows_no_half_version(home: Path, tmp_path: Path) -> None:
    repository = open_storage(str(tmp_path / "models"))
    chance = random.Random(SEED)
    before_s, publishing_s = timed_export(home, repository.uri, FACTORY)
    killed = 0
    for step, within_s in [("", before_s), (PUBLISHING, publishing_s)] * 5:
        killed += kill_after(home, repository.uri, FACTORY, step, chance.uniform(0, within_s))
        check_whole(repository)
    assert killed > 5  # on a machine that became idle, an export may end before its moment
    export_and_clean(home, repository, FACTORY)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "temporary"]


def test_an_export_into_a_store_that_is_killed_at_any_moment_shows_no_half_version(
    home: Path, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every moment here is one of publishing, which is the same for all sources: this one needs no conversion.
    source = str(onnx_file(tmp_path / "mlp.onnx", DOUBLES))
    with object_store(BUCKET) as address:
        repository = open_storage(f"s3://{BUCKET}/killed", address)
        for writes in MOMENTS_OF_THE_FIRST:
            kill_after_writes(home, repository.uri, source, writes, monkeypatch)
            assert models(repository) == ([] if writes < CONFIG_IS_THERE else ["mlp"])
            assert versions(repository, "mlp") == []
        export(home, repository.uri, source)
        for writes in MOMENTS_OF_THE_NEXT:
            kill_after_writes(home, repository.uri, source, writes, monkeypatch)
            check_whole(repository)
        kill_after(home, repository.uri, source, PUBLISHING, 0)
        check_whole(repository)
        assert set(numbers(repository, "mlp")) > set(versions(repository, "mlp"))
        export_and_clean(home, repository, source)
        assert not list(temporary.glob(f"{PREFIX}*"))


def words(uri: str, source: str) -> tuple[str, ...]:
    return ("export", source, "--name", "mlp", "--repository", uri, "--no-verify-served")


def export(home: Path, uri: str, source: str) -> None:
    done = run_rayton(home, *words(uri, source))
    assert done.returncode == 0, done.stderr


def export_and_clean(home: Path, repository: Storage, source: str) -> None:
    """The next export succeeds, and `gc` removes what the killed ones left and nothing else."""
    before = versions(repository, "mlp")
    export(home, repository.uri, source)
    check_whole(repository)
    after = versions(repository, "mlp")
    assert after[:-1] == before
    gc = run_rayton(home, "models", "gc", "--keep", "99", "--unfinished-after-h", "0", "--repository", repository.uri)
    assert gc.returncode == 0, gc.stderr
    assert numbers(repository, "mlp") == versions(repository, "mlp") == after


def timed_export(home: Path, uri: str, source: str) -> tuple[float, float]:
    """The seconds until an export begins to publish, and those that publishing takes."""
    began = time.monotonic()
    with start_rayton(home, *words(uri, source)) as process:
        await_step(process, PUBLISHING)
        before_s = time.monotonic() - began
        assert process.stdout is not None
        assert process.stdout.readline()
        publishing_s = time.monotonic() - began - before_s
        process.communicate(timeout=60)
        assert process.returncode == 0
    return before_s, publishing_s


def kill_after(home: Path, uri: str, source: str, step: str, after_s: float) -> bool:
    """Kills an export so long after a step began, or after the start; False if it had ended by then."""
    with start_rayton(home, *words(uri, source)) as process:
        if step:
            await_step(process, step)
        threading.Event().wait(after_s)  # a random moment is what is wanted here
        return kill(process)


def kill_after_writes(home: Path, uri: str, source: str, writes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills an export as soon as the store has done so many of its writes."""
    counted, reached = count(1), threading.Event()
    answer = DomainDispatcherApplication.__call__

    def counting(self: Any, environ: dict[str, Any], start_response: Any) -> Any:
        answered = answer(self, environ, start_response)
        if environ["REQUEST_METHOD"] == "PUT" and next(counted) == writes:
            reached.set()
            killed.wait(60)
        return answered

    killed = threading.Event()
    with monkeypatch.context() as patch, start_rayton(home, *words(uri, source)) as process:
        patch.setattr(DomainDispatcherApplication, "__call__", counting)
        assert reached.wait(60)
        assert kill(process)
        killed.set()


def await_step(process: subprocess.Popen[str], step: str) -> None:
    assert process.stderr is not None
    assert any(line.startswith(step) for line in process.stderr)


def kill(process: subprocess.Popen[str]) -> bool:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


def check_whole(repository: Storage) -> None:
    """Checks every version that can be seen, by Triton in a folder and by Rayton in a store."""
    if repository.local is not None:
        assert [path.name for path in repository.local.iterdir()] == ["mlp"]
        assert {path.name for path in (repository.local / "mlp").iterdir()} == {
            "config.pbtxt",
            *map(str, versions(repository, "mlp")),
        }
    assert models(repository) == ["mlp"]
    assert read_config(repository, "mlp") is not None
    for version in versions(repository, "mlp"):
        check_files(repository.at(f"mlp/{version}"), read_card(repository, "mlp", version))
        content = repository.read(f"mlp/{version}/model.onnx")
        assert onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).get_outputs()
