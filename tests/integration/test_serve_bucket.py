"""A node that serves a bucket: from a checked copy, in step with what is published, and also when the store is gone."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import run_rayton
from tests.support.numbered import NAME, number_of, publish_broken, publish_number
from tests.support.s3 import object_store
from tests.support.serving import ANY_PORTS, Serving, serving
from triton_models.repository.rollback import roll_back
from triton_models.server.live import load_everywhere
from triton_models.server.register import repository_served_on
from triton_models.server.runtime import Runtime
from triton_models.storage import Storage, open_storage

URI = "s3://models/production"
MODEL, CARD = f"{NAME}/%d/model.onnx", f"{NAME}/%d/card.json"


@pytest.fixture
def store() -> Iterator[str]:
    with object_store("models") as address:
        yield address


def test_a_node_follows_its_bucket_and_never_serves_what_is_not_whole(
    runtime: Runtime, home: Path, tmp_path: Path, store: str
) -> None:
    bucket = open_storage(URI, store)
    elsewhere = open_storage("s3://models/elsewhere", store)
    publish_number(bucket, 1)
    copy = tmp_path / "copy"
    with serving(home, URI, "--cache", str(copy), "--refresh-s", "0.2") as served:
        url = served.report["gRPC"]
        assert served.report["copy"] == f"{URI} in {copy}"
        assert served.report[NAME] == "1"
        assert number_of(url) == 1

        published = publish_number(bucket, 2)
        load_everywhere([url], NAME, published.version)
        served.await_line(f"{NAME} version 2 is served now in place of 1")
        assert number_of(url) == 2

        for number in (7, 8, 3):  # what becomes version 3 of the bucket, as its publisher meant it
            publish_number(elsewhere, number)
        upload(elsewhere, bucket, damaged=True)
        served.await_line(f"{URI}/{MODEL % 3} is not what its card says", f"{NAME} version 2 goes on being served")
        assert number_of(url) == 2

        upload(elsewhere, bucket, damaged=False)
        served.await_line(f"{NAME} version 3 is served now in place of 2")
        assert number_of(url) == 3

        roll_back(bucket, NAME, to=1)
        served.await_line(f"{NAME} version 4 is served now in place of 3")
        assert number_of(url) == 1

        assert [path.name for path in (copy / "models" / NAME).iterdir() if path.is_dir()] == ["4"]
        assert repository_served_on(home, int(url.rpartition(":")[2])) == str(copy / "models")
        second = refused(home, "--cache", str(copy))
        assert f"another `rayton serve` uses the copy in {copy}" in second.stderr
        stop(served)


def test_a_bulk_lane_has_a_copy_of_its_own_and_follows_the_same_bucket(
    runtime: Runtime, home: Path, store: str
) -> None:
    bucket = open_storage(URI, store)
    publish_number(bucket, 1)
    refreshed = ("--refresh-s", "0.2")
    with serving(home, URI, *refreshed) as online, serving(home, URI, "--bulk-lane", *refreshed) as lane:
        assert lane.report["copy"] == f"{online.report['copy']}-bulk"
        published = publish_number(bucket, 2)
        urls = [online.report["gRPC"], lane.report["gRPC"]]
        load_everywhere(urls, NAME, published.version)
        for served in (online, lane):
            served.await_line(f"{NAME} version 2 is served now in place of 1")
        assert [number_of(url) for url in urls] == [2, 2]
        stop(lane)
        stop(online)


def test_a_model_that_does_not_load_leaves_the_old_version_in_service_also_after_a_restart(
    runtime: Runtime, home: Path, tmp_path: Path, store: str
) -> None:
    bucket = open_storage(URI, store)
    publish_number(bucket, 1)
    options = ("--cache", str(tmp_path / "copy"), "--refresh-s", "0.2")
    with serving(home, URI, *options) as served:
        publish_broken(bucket)
        served.await_line("cannot load numbered", f"{NAME} version 1 goes on being served")
        assert number_of(served.report["gRPC"]) == 1
        stop(served)
    with serving(home, URI, *options) as served:
        assert any("WARNING" in line and "going back to what was served before" in line for line in served.lines)
        assert number_of(served.report["gRPC"]) == 1
        publish_number(bucket, 3)
        served.await_line(f"{NAME} version 3 is served now in place of 1")
        assert number_of(served.report["gRPC"]) == 3
        stop(served)


def test_without_its_store_a_node_serves_the_last_good_copy_and_says_so(
    runtime: Runtime, home: Path, tmp_path: Path
) -> None:
    copy, empty = tmp_path / "copy", tmp_path / "empty"
    with object_store("models") as store:
        publish_number(open_storage(URI, store), 1)
        with serving(home, URI, "--cache", str(copy), "--refresh-s", "0") as served:
            stop(served)
        environment = {"AWS_ENDPOINT_URL": store}
    with pytest.MonkeyPatch.context() as patch:  # the store has ended, and is still where the node looks for it
        for name, value in environment.items():
            patch.setenv(name, value)
        with serving(home, URI, "--cache", str(copy), "--refresh-s", "0.2") as served:
            (warning,) = [line for line in served.lines if "WARNING" in line]
            assert f"{URI} cannot be used" in warning
            assert "serving the last good copy, 0:00:" in warning
            assert number_of(served.report["gRPC"]) == 1
            served.await_line(f"{URI} cannot be used", "going on with the copy")
            assert number_of(served.report["gRPC"]) == 1
            stop(served)
        (copy / "models" / (MODEL % 1)).write_bytes(b"damaged")
        for folder in (copy, empty):
            without = refused(home, "--cache", str(folder))
            assert f"error: {URI} cannot be used" in without.stderr
            assert f"and there is no copy in {folder}" in without.stderr


def upload(source: Storage, target: Storage, *, damaged: bool) -> None:
    """Puts version 3 of `source` into `target` under the same number, its card last; damaged on its way."""
    content = source.read(MODEL % 3)
    target.write(MODEL % 3, content + b"?" if damaged else content)
    target.write(CARD % 3, source.read(CARD % 3))


def refused(home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`rayton serve` of the bucket that must end with a message for people."""
    ended = run_rayton(home, "serve", "--repository", URI, *ANY_PORTS, *options, timeout_s=120)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    return ended


def stop(served: Serving) -> None:
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(timeout=60) == 0
