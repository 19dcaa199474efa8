"""How a model's configuration sets up ONNX Runtime."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest

from tests.support import served_models
from triton_models.backends.onnxruntime.session import (
    LoadError,
    cuda_options,
    execution_providers,
    open_session,
    session_options,
)

LEVELS = ort.GraphOptimizationLevel


def config(optimization: dict[str, Any] | None = None, **parameters: Any) -> dict[str, Any]:
    values = {key: {"string_value": value} for key, value in parameters.items()}
    return {"name": "m", "parameters": values, "optimization": optimization or {}}


def test_threads_and_execution_mode_are_set() -> None:
    options = session_options(config(intra_op_thread_count="3", inter_op_thread_count="2", execution_mode="1"))
    assert options.intra_op_num_threads == 3
    assert options.inter_op_num_threads == 2
    assert options.execution_mode == ort.ExecutionMode.ORT_PARALLEL


def test_onnxruntime_chooses_where_the_config_says_nothing() -> None:
    options = session_options({"name": "m"})
    assert options.intra_op_num_threads == 0
    assert options.execution_mode == ort.ExecutionMode.ORT_SEQUENTIAL
    assert options.enable_cpu_mem_arena is True
    assert options.graph_optimization_level == LEVELS.ORT_ENABLE_ALL


def test_threads_do_not_spin_in_a_process_that_steps_back() -> None:
    def spinning() -> str:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # of this thread alone
        return str(session_options({"name": "m"}).get_session_config_entry("session.intra_op.allow_spinning"))

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(spinning).result() == "0"
    with pytest.raises(RuntimeError, match="allow_spinning"):  # left as it is
        session_options({"name": "m"}).get_session_config_entry("session.intra_op.allow_spinning")


@pytest.mark.parametrize(
    ("level", "meaning"),
    [
        (-1, LEVELS.ORT_ENABLE_BASIC),
        (0, LEVELS.ORT_ENABLE_ALL),
        (1, LEVELS.ORT_ENABLE_EXTENDED),
        (2, LEVELS.ORT_DISABLE_ALL),
    ],
)
def test_graph_levels_mean_what_they_mean_to_nvidias_backend(level: int, meaning: ort.GraphOptimizationLevel) -> None:
    assert session_options(config({"graph": {"level": level}})).graph_optimization_level == meaning


def test_the_memory_arena_can_be_switched_off() -> None:
    options = session_options(config(enable_mem_arena="false", enable_mem_pattern="0"))
    assert options.enable_cpu_mem_arena is False
    assert options.enable_mem_pattern is False


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("execution_mode", "2", "execution_mode must be one of 0, 1, not '2'"),
        ("intra_op_thread_count", "many", "intra_op_thread_count must be a whole number, not 'many'"),
        ("enable_mem_arena", "perhaps", "enable_mem_arena must be one of 1, true, 0, false, not 'perhaps'"),
    ],
)
def test_a_value_that_means_nothing_is_refused(key: str, value: str, reason: str) -> None:
    with pytest.raises(LoadError, match=reason):
        session_options(config(None, **{key: value}))


def test_cuda_options_have_the_defaults_of_nvidias_backend() -> None:
    assert cuda_options(config(), 1) == {
        "device_id": "1",
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "arena_extend_strategy": "kNextPowerOfTwo",
    }


def test_top_level_parameters_win_over_the_accelerators() -> None:
    accelerator = {"name": "cuda", "parameters": {"gpu_mem_limit": "1", "arena_extend_strategy": "kSameAsRequested"}}
    optimization = {"execution_accelerators": {"gpu_execution_accelerator": [accelerator]}}
    options = cuda_options(config(optimization, gpu_mem_limit="1073741824", cudnn_conv_algo_search="2"), 0)
    assert options["gpu_mem_limit"] == "1073741824"
    assert options["cudnn_conv_algo_search"] == "DEFAULT"
    assert options["arena_extend_strategy"] == "kSameAsRequested"


def test_an_accelerator_that_is_not_there_is_refused() -> None:
    optimization = {"execution_accelerators": {"gpu_execution_accelerator": [{"name": "tensorrt"}]}}
    with pytest.raises(LoadError, match="the execution accelerator 'tensorrt' is not part of this server"):
        cuda_options(config(optimization), 0)


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="this onnxruntime has CUDA")
def test_a_gpu_is_needed_for_kind_gpu_only() -> None:
    with pytest.raises(LoadError, match="KIND_GPU, but the onnxruntime of this server has no CUDA"):
        execution_providers(config(), "GPU", 0)
    for kind in ("CPU", "AUTO", "MODEL"):
        assert execution_providers(config(), kind, 0) == [("CPUExecutionProvider", {})]


def test_a_missing_file_is_named_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"version 3 has no file 'model\.onnx'$") as refused:
        open_session(config(), tmp_path / "3", "CPU", 0)
    assert str(tmp_path) not in str(refused.value)


def test_a_broken_file_is_refused_without_its_folder(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(LoadError, match=r"ONNX Runtime refuses its file: .*model\.onnx") as refused:
        open_session(config(), tmp_path, "CPU", 0)
    assert str(tmp_path) not in str(refused.value)


def test_the_file_may_have_another_name(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(served_models.affine().SerializeToString())
    session = open_session(config() | {"default_model_filename": "net.onnx"}, tmp_path, "CPU", 0)
    assert [tensor.name for tensor in session.get_inputs()] == ["x"]
