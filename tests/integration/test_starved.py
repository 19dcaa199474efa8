"""A server whose model gets no processor while it loads: its Triton aborts, and it is started again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

from tests.support.leftovers import left_shared_memory, shared_memory
from tests.support.served_models import ONE_CPU, tensors
from tests.support.triton import infer, start
from triton_models.server.errors import StarvedError
from triton_models.server.last_words import ABORTED
from triton_models.server.process import STARTS
from triton_models.server.runtime import Runtime

MODEL = """
import os
import signal
import subprocess
from pathlib import Path

import triton_python_backend_utils as pb_utils

LEFT = Path({left!r})

if left := int(LEFT.read_text()):
    LEFT.write_text(str(left - 1))
    subprocess.Popen(["sh", "-c", f"sleep 2; kill -CONT {{os.getpid()}}"])
    os.kill(os.getpid(), signal.SIGSTOP)


class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("y", pb_utils.get_input_tensor_by_name(one, "x").as_numpy())])
            for one in requests
        ]
"""
CONFIG = "max_batch_size: 8\n" + tensors("input", "x", "FP32", [1]) + tensors("output", "y", "FP32", [1]) + ONE_CPU


def write_held(folder: Path, times: int) -> Path:
    """A repository with a model whose process stands still for two seconds at each of its first starts."""
    left = folder / "left"
    left.write_text(str(times))
    version = folder / "models" / "held" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(MODEL.format(left=str(left)))
    (version.parent / "config.pbtxt").write_text(f'name: "held"\nbackend: "python"\n{CONFIG}')
    return folder / "models"


def test_a_server_that_got_no_processor_once_is_started_again(
    runtime: Runtime, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with start(runtime, write_held(tmp_path, 1)) as server:
        assert server.options.log_file.read_text().count(f"what():  {ABORTED}") == 1
        (said,) = (record.getMessage() for record in caplog.records)
        assert "the process of a model got no processor for a second, which this Triton takes for its death" in said
        assert said.endswith(f"its log is {server.options.log_file}; it is started again")
        with InferenceServerClient(server.grpc_url) as client:
            assert infer(client, "held", x=np.ones((1, 1), np.float32))["y"].tolist() == [[1.0]]


def test_one_that_never_gets_any_is_given_up_and_leaves_nothing_behind(runtime: Runtime, tmp_path: Path) -> None:
    before, repository = shared_memory(), write_held(tmp_path, STARTS)
    with pytest.raises(StarvedError, match="got no processor for a second, which this Triton takes for its death"):
        start(runtime, repository)
    assert (tmp_path / "left").read_text() == "0"
    assert left_shared_memory(before) == []
