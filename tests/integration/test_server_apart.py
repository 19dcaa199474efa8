"""A server on this machine that is not to be trusted with memory: another user's, or one with a /dev/shm of its own."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ray_pipeline.errors import FatalError
from ray_pipeline.transport.base import Request
from ray_pipeline.transport.choose import choose, open_transport
from tests.support.served_models import AFFINE, ONE_CPU, affine, write_version
from tests.support.triton import start
from triton_models.server.binary import embedded_binary
from triton_models.server.runtime import Runtime

NOBODY = 65_534
APART = {
    # It may read all files, as those of the runtime may lie in somebody's home.
    "another user": shlex.split(
        f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups "
        "--inh-caps=+dac_read_search --ambient-caps=+dac_read_search"
    ),
    "another /dev/shm": ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs tmpfs /dev/shm && exec "$@"', "sh"],
}
PATIENCE_S = 30.0


@pytest.mark.parametrize("kind", APART)
def test_memory_is_not_shared_with_a_server_apart_and_the_job_says_why(
    runtime: Runtime, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    allowed = subprocess.run([*APART[kind], "true"], capture_output=True, text=True, check=False)
    if allowed.returncode != 0:
        pytest.skip(f"this user may not start a process as {kind}: {allowed.stderr.strip()}")
    repository = tmp_path / "models"
    write_version(repository, "affine", affine(), "max_batch_size: 8\ndynamic_batching { }\n" + AFFINE + ONE_CPU)
    with start(_apart(runtime, tmp_path / "tritonserver", APART[kind]), repository) as server:
        choice = choose(server.grpc_url, "auto", PATIENCE_S)
        assert choice.transport == "grpc"
        assert "one in a container needs this machine's /dev/shm and this user's rights" in choice.why
        assert f"go through gRPC, not through shared memory: {choice.why}" in caplog.text
        with pytest.raises(FatalError, match="cannot be reached through shared memory"):
            choose(server.grpc_url, "shared_memory", PATIENCE_S)
        transport = open_transport(server.grpc_url, "auto", PATIENCE_S)
        rows = np.ones((2, 4), np.float32)
        answer = transport.send(Request("affine", 1, {"x": rows}, ("scaled",))).result()
        np.testing.assert_array_equal(answer["scaled"], 2 * rows)
        transport.close()


def _apart(runtime: Runtime, script: Path, prefix: list[str]) -> Path:
    """A `tritonserver` that keeps apart from this process."""
    binary = embedded_binary(runtime)
    kept = {name: binary.environment[name] for name in ("LD_LIBRARY_PATH", "PATH", "VIRTUAL_ENV")}
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in kept.items())
    backends = f"--backend-directory={binary.backend_directory}"
    script.write_text(f'#!/bin/sh\n{settings} exec {shlex.join(prefix)} {binary.path} "$@" {backends}\n')
    script.chmod(0o755)
    return script
