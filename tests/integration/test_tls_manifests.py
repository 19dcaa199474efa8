"""What the manifests with certificates and keys say, run on this machine with the files that docker/README.md makes."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_pipeline.spec import load_job
from tests.support.command import run_rayton
from tests.support.guarded import NOT_AS_LOOPBACK, in_job_file
from tests.support.jobs import failing_score, score, scored_rows, write_job
from tests.support.kustomize import Manifest, render
from tests.support.manifests import KUBERNETES
from tests.support.mounted import block_of, health_commands, made_secrets, secret_mounts
from tests.support.numbered import NAME, publish_number
from tests.support.serving import Serving, serving
from triton_models.server.credentials import Credentials
from triton_models.server.runtime import Runtime
from triton_models.storage import open_storage

OVERLAY = KUBERNETES / "overlays" / "one-gpu-node-tls"
MODEL = f'name = "{NAME}"\ninputs  = {{ x = "x" }}\noutputs = {{ y = "y" }}'
ROWS = 20


@dataclass(frozen=True)
class Pods:
    """A running server; `mounted` is where the secrets of the manifests lie that are at /etc/rayton in their pods."""

    served: Serving
    server: Manifest
    mounted: Path
    home: Path
    models: Path

    def here(self, word: str) -> str:
        """A word of a manifest, with the paths and the port of this machine."""
        return _here(word, self.mounted).replace("localhost:8001", f"localhost:{self.port}")

    @property
    def port(self) -> str:
        return self.served.report["gRPC"].rpartition(":")[2]


def _here(word: str, mounted: Path) -> str:
    return word.replace("/etc/rayton", str(mounted))


@pytest.fixture(scope="module")
def pods(runtime: Runtime, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    folder = tmp_path_factory.mktemp("pods")
    own_home = folder / "home"
    own_home.mkdir()
    (own_home / "runtimes").symlink_to(home / "runtimes")
    (server,) = (one for one in render(OVERLAY) if one["kind"] == "DaemonSet")
    (cluster,) = (one for one in render(OVERLAY) if one["kind"] == "RayCluster")
    mounted = folder / "mounted"
    _make_files(folder)
    for template in (server["spec"]["template"], cluster["spec"]["workerGroupSpecs"][0]["template"]):
        _mount(template, folder, mounted)
    publish_number(open_storage(str(folder / "models")), 10)
    (container,) = server["spec"]["template"]["spec"]["containers"]
    words = [_here(word, mounted) for word in container["args"]]
    assert words[:2] == ["--repository", "s3://models"]
    remote = ("--address", NOT_AS_LOOPBACK, "--metrics-address", "127.0.0.1", "--allow-remote")
    with serving(own_home, folder / "models", *remote, *words[2:]) as served:
        yield Pods(served, server, mounted, own_home, folder / "models")
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(timeout=60) == 0


def _make_files(folder: Path) -> None:
    """Runs the commands that make certificates and keys."""
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block_of("umask 077")], cwd=folder, check=True, stderr=subprocess.DEVNULL
    )


def _mount(template: dict[str, Any], files: Path, mounted: Path) -> None:
    """Puts the files of a pod's secrets where the pod has them."""
    for path, secret in secret_mounts(template).items():
        place = Path(_here(path, mounted))
        place.mkdir(parents=True, exist_ok=True)
        for key, file in made_secrets()[secret["secretName"]].items():
            (place / key).write_bytes((files / file).read_bytes())
            (place / key).chmod(0o400)


def test_the_server_has_nothing_to_say_against_its_files(pods: Pods) -> None:
    assert pods.served.report["TLS"].startswith("gRPC is encrypted; clients show a certificate of ")
    assert pods.served.report["control"].endswith(f"the key in {pods.mounted}/control/control.key")
    cautions = [line for line in pods.served.lines if line.startswith("caution")]
    assert [line for line in cautions if "known holes" not in line] == []


def test_its_health_checks_are_let_in(pods: Pods) -> None:
    for command in health_commands(pods.server):
        checked = run_rayton(pods.home, *map(pods.here, command[1:]))
        assert checked.returncode == 0, checked.stderr
        assert checked.stdout == f"localhost:{pods.port} answers: {NAME} 1\n"
    refused = run_rayton(pods.home, "health", f"localhost:{pods.port}")
    assert "wants TLS" in refused.stderr


def test_the_job_is_let_in_and_one_that_shows_nothing_is_not(pods: Pods, tmp_path: Path) -> None:
    file = tmp_path / "manifest.toml"
    (config,) = (one for one in render(KUBERNETES / "job-tls") if one["kind"] == "ConfigMap")
    file.write_text(_here(config["data"]["job.toml"], pods.mounted))
    found = load_job(file).triton
    rows = pa.table({"id": np.arange(ROWS), "x": [[float(row)] for row in range(ROWS)]})
    pq.write_table(rows, tmp_path / "rows.parquet")

    def job(output: str, credentials: Credentials) -> Path:
        # A name that is no host here: whose certificate it is has to be said.
        given = {"url": f"127.0.0.1:{pods.port}", "transport": found.transport, "repository": str(pods.models)}
        named = {"tls.server_name": (found.url or "").partition(":")[0]} if credentials.uses_tls else {}
        triton: dict[str, object] = {**given, **in_job_file(credentials), **named}
        return write_job(
            tmp_path / f"{output}.toml",
            input=tmp_path / "rows.parquet",
            output=tmp_path / output,
            triton=triton,
            model=MODEL,
        )

    score(job("out", found.credentials), pods.home)
    assert scored_rows(str(tmp_path / "out"))["y"].to_pylist() == [[row + 10.0] for row in range(ROWS)]
    assert "wants TLS" in failing_score(job("none", Credentials()), pods.home)
