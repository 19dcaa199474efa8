"""The server of a node: how it starts, how it refuses to start, and how it ends, whatever ends it."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import threading
import time
import venv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

from tests.support import served_models
from tests.support.command import run_rayton
from tests.support.counts import settled_total
from tests.support.leftovers import (
    await_end,
    command,
    descendants,
    parent_of,
    shared_memory,
    shared_memory_of,
)
from tests.support.served_models import AFFINE, LOOKUP, ONE_CPU, tensors, write_version
from tests.support.serving import ANY_PORTS, Serving, serving
from tests.support.triton import infer, send, start
from triton_models.errors import RepositoryError
from triton_models.server import keeper
from triton_models.server.binary import embedded_binary
from triton_models.server.errors import BrokenModelError, BrokenRuntimeError, PortInUseError, StartError
from triton_models.server.metrics import read_metrics
from triton_models.server.runtime import Runtime

CONFIG = "max_batch_size: 8\ndynamic_batching { }\n" + AFFINE + ONE_CPU


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One small model, in a folder whose name has a space."""
    repository = tmp_path / "my models"
    write_version(repository, "affine", served_models.affine(), CONFIG)
    return repository


def run_serve(home: Path, repository: Path | str, *options: str) -> subprocess.CompletedProcess[str]:
    """`rayton serve` that is expected to refuse."""
    return run_rayton(home, "serve", "--repository", str(repository), *options, timeout_s=60)


def test_the_report_names_models_addresses_and_log(runtime: Runtime, home: Path, repository: Path) -> None:
    log_file = repository.with_name("server.log")
    with serving(home, repository, "--log-file", str(log_file)) as served:
        assert served.report["affine"] == "1"
        assert served.report["log"] == str(log_file)
        with InferenceServerClient(served.report["gRPC"]) as client:
            assert infer(client, "affine", x=np.ones((1, 4), np.float32))["total"].tolist() == [[4.0]]
        inferences = settled_total(served.report["metrics"], model="affine")
        assert inferences == 2  # the probe and ours
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(timeout=60) == 0
    assert "successfully loaded 'affine'" in log_file.read_text()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_requests_in_flight_are_answered_before_the_end(
    runtime: Runtime, home: Path, tmp_path: Path, ending: signal.Signals
) -> None:
    repository = tmp_path / "models"
    io = tensors("input", "x", "FP32", [256]) + tensors("output", "y", "FP32", [256])
    write_version(repository, "slow", served_models.slow(rounds=30_000), "max_batch_size: 8\n" + io + ONE_CPU)
    with (
        serving(home, repository, "--no-probe") as served,
        InferenceServerClient(served.report["gRPC"]) as client,
    ):
        running = send(client, "slow", x=np.ones((4, 256), np.float32))
        queued = send(client, "slow", x=np.ones((4, 256), np.float32))
        while read_metrics(served.report["metrics"]).total("nv_inference_pending_request_count", model="slow") != 1:
            time.sleep(0.01)  # one runs, one waits: both are in flight
        assert not running.done()
        served.process.send_signal(ending)
        assert not running.result(timeout=60).as_numpy("y").any()
        assert not queued.result(timeout=60).as_numpy("y").any()
        assert served.process.wait(timeout=60) == 0


def strike(served: Serving) -> None:
    """Kills the Triton of a `rayton serve`."""
    (server,) = (pid for pid in descendants(served.process.pid) if "bin/tritonserver" in command(pid).split(" ")[0])
    os.kill(server, signal.SIGKILL)


def test_a_server_that_dies_is_started_again_where_it_was(runtime: Runtime, home: Path, repository: Path) -> None:
    with serving(home, repository) as served, InferenceServerClient(served.report["gRPC"]) as client:
        for _ in range(2):
            strike(served)
            ended = served.await_line("the server ended by itself")
            assert "exit status 137, killed by SIGKILL; its log is" in ended
            assert served.await_line("starting it again").endswith("Z starting it again in 0.1 s")
            assert served.await_line("ready again").endswith(f"ready again at {served.report['gRPC']}")
            assert infer(client, "affine", x=np.ones((1, 4), np.float32))["total"].tolist() == [[4.0]]
        assert settled_total(served.report["metrics"], model="affine") == 2  # the probe and ours
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(timeout=60) == 0


def test_a_server_that_does_not_come_up_again_is_given_up(runtime: Runtime, home: Path, repository: Path) -> None:
    with serving(home, repository) as served:
        (repository / "affine" / "1" / "model.onnx").write_bytes(b"no model")
        strike(served)
        assert served.process.wait(timeout=60) == 1
        assert served.process.stderr is not None
        error = served.process.stderr.read()
    assert "error: the server has ended by itself 6 times and is given up: affine version 1 cannot be loaded" in error


def test_nothing_outlives_a_parent_that_is_killed(runtime: Runtime, home: Path, repository: Path) -> None:
    with serving(home, repository) as served:
        family = descendants(served.process.pid)
        commands = " ".join(map(command, family))
        assert "bin/tritonserver" in commands
        assert "triton_python_backend_stub" in commands
        assert shared_memory_of(served.process.pid)
        os.killpg(served.process.pid, signal.SIGKILL)
        served.process.wait()
        assert await_end(family) == set()
    assert shared_memory_of(served.process.pid) == set()


def test_nothing_outlives_a_parent_that_is_killed_together_with_its_children(
    runtime: Runtime, home: Path, repository: Path
) -> None:
    with serving(home, repository) as served:
        family = descendants(served.process.pid)
        children = [pid for pid in family if parent_of(pid) == served.process.pid]
        served.process.send_signal(signal.SIGSTOP)
        for pid in [*children, served.process.pid]:
            os.kill(pid, signal.SIGKILL)
        served.process.wait()
        assert await_end(family) == set()
    assert shared_memory_of(served.process.pid) == set()


def test_nothing_outlives_a_keeper_that_is_killed(runtime: Runtime, repository: Path) -> None:
    server = start(runtime, repository)
    family = descendants(server.keeper.pid)
    assert len(family) >= 2
    server.keeper.kill()
    server.wait(timeout_s=10)
    assert await_end(family) == set()
    assert not any(name.startswith(server.identity) for name in shared_memory())


def test_memory_of_a_dead_owner_is_removed_at_the_next_start(runtime: Runtime, repository: Path) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    orphan = keeper.SHARED_MEMORY / (keeper.identity(ended.pid, "cafe") + "segment")
    orphan.touch()
    with start(runtime, repository):
        assert not orphan.exists()


def test_a_server_outlives_the_thread_that_started_it(runtime: Runtime, repository: Path) -> None:
    servers = []
    thread = threading.Thread(target=lambda: servers.append(start(runtime, repository)))
    thread.start()
    thread.join()
    with servers[0] as server, InferenceServerClient(server.grpc_url) as client:
        assert infer(client, "affine", x=np.ones((1, 4), np.float32))["total"].tolist() == [[4.0]]


@pytest.mark.parametrize("port", ["http_port", "grpc_port", "metrics_port"])
def test_a_taken_port_is_refused(runtime: Runtime, repository: Path, port: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"--{port.replace('_', '-')} {number} on 127.0.0.1 cannot be used"):
            start(runtime, repository, **{port: number})


def test_the_grpc_port_of_another_server_is_refused_on_the_command_line(
    runtime: Runtime, home: Path, repository: Path
) -> None:
    with start(runtime, repository) as server:
        refused = run_serve(home, repository, "--grpc-port", str(server.options.grpc_port), "--http-port", "0")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"error: --grpc-port {server.options.grpc_port} on 127.0.0.1 cannot be used: ")
    assert "Traceback" not in refused.stderr


def test_numpy_2_in_the_servers_environment_is_refused(runtime: Runtime, repository: Path, tmp_path: Path) -> None:
    other = replace(runtime, folder=tmp_path / "runtime")
    venv.create(other.venv, symlinks=True, with_pip=False)
    own_packages = str(Path(np.__file__).parent.parent)  # numpy 2 and onnxruntime
    (other.site_packages / "other.pth").write_text(own_packages)
    with pytest.raises(BrokenRuntimeError, match=rf"has numpy {np.__version__}, .* it needs numpy 1"):
        start(other, repository)


def test_numpy_2_on_the_users_pythonpath_does_not_reach_the_server(
    runtime: Runtime, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(np.__file__).parent.parent))
    with start(runtime, repository) as server, InferenceServerClient(server.grpc_url) as client:
        rows = np.arange(1000, 1008, dtype=np.float32).reshape(2, 4)
        assert infer(client, "affine", x=rows)["scaled"].tolist() == (2 * rows).tolist()


def test_a_model_that_answers_nothing_is_refused_unless_not_asked(runtime: Runtime, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    write_version(repository, "empty", served_models.table_lookup(rows=0), "max_batch_size: 8\n" + LOOKUP + ONE_CPU)
    with pytest.raises(BrokenModelError, match=r"empty version 1 was loaded but answers no request: .*--no-probe"):
        start(runtime, repository)
    with start(runtime, repository, probe=False) as server:
        assert [model.name for model in server.models] == ["empty"]


def test_a_file_that_is_no_model_is_refused(runtime: Runtime, home: Path, repository: Path) -> None:
    (repository / "affine" / "1" / "model.onnx").write_bytes(b"no model")
    refused = run_serve(home, repository, *ANY_PORTS)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: affine version 1 cannot be loaded: unable to load model 'affine', ")
    assert "At:" not in refused.stderr


def test_only_the_models_asked_for_are_loaded(runtime: Runtime, repository: Path) -> None:
    write_version(repository, "other", served_models.affine(), CONFIG)
    with start(runtime, repository, models=("other",)) as server:
        assert [(model.name, model.version) for model in server.models] == [("other", "1")]


def test_an_unknown_model_is_refused(runtime: Runtime, repository: Path) -> None:
    with pytest.raises(StartError, match="has no model minilm; it has affine"):
        start(runtime, repository, models=("minilm",))


def test_a_name_that_a_shell_would_read_is_refused(runtime: Runtime, repository: Path) -> None:
    write_version(repository, "two words", served_models.affine(), CONFIG)
    with pytest.raises(RepositoryError, match="'two words' cannot be the name of a model"):
        start(runtime, repository)


def test_a_runtime_in_a_folder_that_a_shell_would_read_is_refused(
    runtime: Runtime, repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "my home").symlink_to(runtime.folder)
    with pytest.raises(BrokenRuntimeError, match=r"my home: .* keep it elsewhere, with RAYTON_HOME"):
        start(replace(runtime, folder=tmp_path / "my home"), repository)


def test_the_embedded_server_is_for_this_machine_only(runtime: Runtime, home: Path, repository: Path) -> None:
    refused = run_serve(home, repository, "--address", "0.0.0.0", *ANY_PORTS)
    assert refused.returncode == 1
    assert "does not listen on 0.0.0.0" in refused.stderr
    assert "--allow-remote" in refused.stderr


def test_a_folder_is_served_where_it_is_and_not_followed(home: Path, repository: Path) -> None:
    refused = run_serve(home, repository, "--refresh-s", "1")
    assert refused.returncode == 1
    assert "is served where it is" in refused.stderr
    assert "`rayton export --load`" in refused.stderr


def test_a_bulk_lane_does_not_step_back_on_a_gpu(home: Path, repository: Path) -> None:
    refused = run_serve(home, repository, "--bulk-lane", "--gpu")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: --bulk-lane steps back on processors only, not on GPUs; leave out ")


def test_a_server_of_the_system_runs_with_its_own_backends(
    runtime: Runtime, home: Path, repository: Path, tmp_path: Path
) -> None:
    binary = embedded_binary(runtime)
    own_server = tmp_path / "tritonserver"
    environment = " ".join(f"{name}={shlex.quote(binary.environment[name])}" for name in ("LD_LIBRARY_PATH", "PATH"))
    own_server.write_text(
        f'#!/bin/sh\n{environment} VIRTUAL_ENV={runtime.venv} exec {binary.path} "$@" '
        f"--backend-directory={binary.backend_directory}\n"
    )
    own_server.chmod(0o755)
    with serving(home, repository, "--tritonserver", str(own_server)) as served:
        with InferenceServerClient(served.report["gRPC"]) as client:
            assert infer(client, "affine", x=np.ones((1, 4), np.float32))["total"].tolist() == [[4.0]]
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(timeout=60) == 0


def test_a_server_that_cannot_run_is_one_clear_error(home: Path, repository: Path, tmp_path: Path) -> None:
    broken = tmp_path / "tritonserver"
    broken.write_text("#!/bin/sh\necho 'error: no licence' >&2\nexit 3\n")
    broken.chmod(0o755)
    refused = run_serve(home, repository, "--tritonserver", str(broken), *ANY_PORTS)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: the server did not start: error: no licence; its log is ")
