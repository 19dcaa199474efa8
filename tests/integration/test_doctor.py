"""`rayton doctor` and `rayton serve` say which models online users may share with bulk, and which not."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

from tests.support import served_models
from tests.support.command import run_rayton
from tests.support.served_models import (
    AFFINE,
    LOOKUP,
    ONE_CPU,
    WAITS,
    tensors,
    write_python_version,
    write_version,
)
from tests.support.serving import Serving, serving
from tests.support.triton import start
from triton_models.doctor.measure import Row, at_moments, one_by_one
from triton_models.server import health
from triton_models.server.runtime import Runtime

CLEAN = "max_batch_size: 8\ndynamic_batching { }\n" + AFFINE + ONE_CPU
ROW = tensors("input", "x", "FP32", [256]) + tensors("output", "y", "FP32", [256])
LEVELS = "max_batch_size: 8\ndynamic_batching { priority_levels: 2 default_priority_level: 1 }\n" + ROW + ONE_CPU
NOTHING = "max_batch_size: 8\ndynamic_batching { }\n" + LOOKUP + ONE_CPU
CAUTION = "dynamic_batching.priority_levels is 2: single requests can stall for 500 ms"


@pytest.fixture(scope="module")
def served(runtime: Runtime, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server with a clean model, one with priority levels, and one that answers no request."""
    repository = tmp_path_factory.mktemp("doctor") / "models"
    write_version(repository, "clean", served_models.affine(), CLEAN)
    write_version(repository, "levels", served_models.slow(rounds=300), LEVELS)
    write_version(repository, "mute", served_models.table_lookup(rows=0), NOTHING)
    with serving(home, repository, "--no-probe") as served:
        yield served


def doctor(home: Path, address: str, *options: str) -> subprocess.CompletedProcess[str]:
    done = run_rayton(home, "doctor", address, *options, timeout_s=120)
    print(done.stdout, done.stderr, sep="\n")
    return done


def test_a_server_says_at_its_start_what_is_unsafe_and_nothing_of_what_is_clean(served: Serving) -> None:
    (line,) = (line for line in served.lines if line.startswith("caution"))
    assert line.startswith(f"caution  levels: {CAUTION}")
    assert served.lines[-2:] == [line, "ready; Ctrl-C stops the server"]


def test_a_clean_model_is_safe_to_share(home: Path, served: Serving) -> None:
    done = doctor(home, served.report["gRPC"], "--model", "clean", "--requests", "60")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"about \d+ s for 1 model\n", done.stderr)
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert re.fullmatch(r"clean +1 +1 +60( +[\d.]+){4} +0 +0", lines[1])
    assert lines[3] == "clean: safe to share"
    assert lines[4].startswith("in a shared lane, instance_group has 1 instance: ")
    assert lines[5:7] == ["", "the server"]
    assert lines[7].startswith("its Triton is 2.51.0: a client that cancels a gRPC request")
    assert lines[8].startswith("its Triton is 2.51.0 and has 51 known holes, by NVIDIA's security bulletins 5687, ")
    assert len(lines) == 9


def test_a_model_with_priority_levels_is_named_as_unsafe(home: Path, served: Serving) -> None:
    done = doctor(home, served.report["gRPC"], "--model", "levels", "--model", "clean", "--requests", "90")
    assert done.returncode == 1
    assert "about" in done.stderr.splitlines()[0]
    assert done.stderr.splitlines()[1].startswith(
        "error: not safe to share with online users: levels (1 of 2 examined); change what is said above"
    )
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[lines.index("levels: not safe to share") + 1].startswith(CAUTION)
    assert "clean: safe to share" in lines


def test_a_model_that_answers_no_request_cannot_be_examined(home: Path, served: Serving) -> None:
    done = doctor(home, served.report["gRPC"])
    assert done.returncode == 1
    assert done.stderr.startswith("error: mute version 1 was loaded but answers no request: ")
    assert done.stderr.endswith("cannot be examined: name the others with --model\n")


def test_an_unknown_model_is_a_clear_error(home: Path, served: Serving) -> None:
    address = served.report["gRPC"]
    done = doctor(home, address, "--model", "other")
    assert done.returncode == 1
    assert done.stderr == f"error: {address} serves no model other; it serves clean, levels, mute\n"


def test_no_server_at_the_address_is_a_clear_error(home: Path, served: Serving, free_port: int) -> None:
    for port in (str(free_port), served.report["HTTP"].rpartition(":")[2]):
        done = doctor(home, f"127.0.0.1:{port}")
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: no server answers at 127.0.0.1:{port} ")
        assert done.stderr.endswith("is it running, and is this its gRPC port?\n")
    assert doctor(home, "http://127.0.0.1:1").stderr.startswith("error: 'http://127.0.0.1:1' is not the address")


def test_a_latency_counts_from_the_moment_at_which_a_request_was_to_be_sent(runtime: Runtime, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    one = "max_batch_size: 8\n" + tensors("input", "x", "FP32", [1]) + tensors("output", "y", "FP32", [1]) + ONE_CPU
    write_python_version(repository, "waits", WAITS.replace("SECONDS", "0.1"), one)
    with start(runtime, repository) as server, InferenceServerClient(server.grpc_url) as client:
        row = Row(client, "waits", "1", health.probe(client, server.models[0]))
        assert one_by_one(row) >= 0.1
        timings = at_moments(row, np.array([0.0, 0.0, 0.0]))
    assert timings.failures == []
    assert (np.sort(timings.latencies_s) >= [0.1, 0.2, 0.3]).all()


def test_requests_that_fail_are_kept_with_what_the_server_said(served: Serving) -> None:
    with InferenceServerClient(served.report["gRPC"]) as client:
        inputs = health.probe(client, health.LoadedModel("clean", "1", True, ""))
        timings = at_moments(Row(client, "mute", "1", inputs), np.array([0.0, 0.01]))
    assert timings.latencies_s == []
    assert len(timings.failures) == 2
    assert "mute" in timings.failures[0]
