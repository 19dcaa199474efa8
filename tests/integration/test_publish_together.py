"""Eight processes publish into one repository at the same moment: eight versions, all whole."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.repositories import everything
from tests.support.s3 import object_store
from triton_models.repository.checksums import check_files
from triton_models.repository.versions import models, read_card, read_config, versions
from triton_models.storage import open_storage

PROCESSES = 8
ROOT = Path(__file__).parent.parent.parent

PUBLISHER = """
import os, sys
from tests.support.repositories import publish_bytes
from triton_models.storage import open_storage

storage = open_storage(sys.argv[1], os.environ.get("AWS_ENDPOINT_URL"))
print("ready", flush=True)
sys.stdin.readline()
print(publish_bytes(storage, "small", sys.argv[2].encode() * 100_000).version)
"""


@pytest.mark.parametrize("place", ["folder", "store"])
def test_processes_that_publish_at_the_same_moment_get_a_version_each(place: str, tmp_path: Path) -> None:
    with object_store("models") as address:
        uri = "s3://models/together" if place == "store" else str(tmp_path / "models")
        repository = open_storage(uri, address if place == "store" else None)
        got = publish_together(uri)
        assert sorted(got) == versions(repository, "small") == list(range(1, PROCESSES + 1))
        assert models(repository) == ["small"]
        assert read_config(repository, "small") is not None
        for number, version in enumerate(got):
            check_files(repository.at(f"small/{version}"), read_card(repository, "small", version))
            assert repository.read(f"small/{version}/model.onnx") == str(number).encode() * 100_000
    assert {path.split("/")[0] for path in everything(tmp_path)} == ({"models"} if place == "folder" else set())


def publish_together(uri: str) -> list[int]:
    with ExitStack() as stack:
        publishers = [stack.enter_context(publisher(uri, number)) for number in range(PROCESSES)]
        for one in publishers:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        for one in publishers:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        return [json.loads(one.communicate(timeout=60)[0]) for one in publishers]


def publisher(uri: str, number: int) -> subprocess.Popen[str]:
    """A process that says that it is ready, and publishes when it is written a line."""
    return subprocess.Popen(
        [sys.executable, "-c", PUBLISHER, uri, str(number)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
