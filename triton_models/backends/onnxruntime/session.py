"""Opens the ONNX Runtime session of one model instance.

Every setting comes from a key of `config.pbtxt` that NVIDIA's C++ `onnxruntime` backend reads as well, with the same
meaning, so that one repository serves both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort

Config = Mapping[str, Any]

# `optimization.graph.level`: 0 and all other values mean everything; 2 *disables*, as it does in NVIDIA's backend.
GRAPH_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
EXECUTION_MODES = {"0": ort.ExecutionMode.ORT_SEQUENTIAL, "1": ort.ExecutionMode.ORT_PARALLEL}
CONV_ALGO_SEARCHES = {"0": "EXHAUSTIVE", "1": "HEURISTIC", "2": "DEFAULT"}
ARENA_STRATEGIES = {"0": "kNextPowerOfTwo", "1": "kSameAsRequested"}
SWITCHES = {"1": True, "true": True, "0": False, "false": False}

SHRINKAGE_KEY = "memory.enable_memory_arena_shrinkage"
INITIALIZERS_KEY = "session.use_device_allocator_for_initializers"


class LoadError(Exception):
    """A model that cannot be served as its configuration says."""


def open_session(config: Config, version_folder: Path, kind: str, device_id: int) -> ort.InferenceSession:
    """The session for one instance of `kind` CPU, GPU, AUTO or MODEL; raises LoadError."""
    path = model_file(config, version_folder)
    options, providers = session_options(config), execution_providers(config, kind, device_id)
    try:
        session = ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        reason = str(error).replace(str(path), path.name)
        raise LoadError(f"unable to load model '{config['name']}', ONNX Runtime refuses its file: {reason}") from None
    wanted = providers[0][0]
    if wanted != session.get_providers()[0]:  # ONNX Runtime falls back to the CPU with no more than a log line
        raise LoadError(
            f"unable to load model '{config['name']}' on device {device_id}: {wanted} did not start; "
            "see the server's log for the library that it misses, or use KIND_CPU"
        )
    return session


def run_options(config: Config) -> ort.RunOptions:
    """What every run of the model shares."""
    options = ort.RunOptions()
    if shrinkage := parameter(config, SHRINKAGE_KEY):
        options.add_run_config_entry(SHRINKAGE_KEY, shrinkage)
    return options


def model_file(config: Config, version_folder: Path) -> Path:
    """The path of the ONNX file; raises LoadError when it is not there, or not in the folder of the version."""
    name = config.get("default_model_filename") or "model.onnx"
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise LoadError(
            f"unable to load model '{config['name']}', default_model_filename '{name}' leads out of its version"
        )
    path = version_folder / name
    if path.is_dir():
        path = path / "model.onnx"
    if not path.is_file():
        raise LoadError(
            f"unable to load model '{config['name']}', version {version_folder.name} has no file '{path.name}'"
        )
    return path


def session_options(config: Config) -> ort.SessionOptions:
    """Threads, graph level and memory settings; raises LoadError for a value that means nothing."""
    options = ort.SessionOptions()
    level = config.get("optimization", {}).get("graph", {}).get("level", 0)
    options.graph_optimization_level = GRAPH_LEVELS.get(int(level), ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
    options.execution_mode = choice(config, "execution_mode", EXECUTION_MODES, "0")
    options.intra_op_num_threads = thread_count(config, "intra_op_thread_count")
    options.inter_op_num_threads = thread_count(config, "inter_op_thread_count")
    # Threads spin while a request runs, and would go on afterwards for longer than a small one takes: time that others
    # of the machine can use.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if os.sched_getscheduler(0) == os.SCHED_IDLE:
        # A thread that spins for another one, which others of the machine have interrupted, takes time from it.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = choice(config, "enable_mem_arena", SWITCHES, "1")
    options.enable_mem_pattern = choice(config, "enable_mem_pattern", SWITCHES, "1")
    if device_initializers := parameter(config, INITIALIZERS_KEY):
        options.add_session_config_entry(INITIALIZERS_KEY, device_initializers)
    return options


def execution_providers(config: Config, kind: str, device_id: int) -> list[tuple[str, dict[str, str]]]:
    """The providers in order of preference: CUDA for KIND_GPU, and for KIND_AUTO where it is there."""
    cpu: tuple[str, dict[str, str]] = ("CPUExecutionProvider", {})
    has_cuda = "CUDAExecutionProvider" in ort.get_available_providers()
    if kind == "GPU" and not has_cuda:
        raise LoadError(
            f"unable to load model '{config['name']}': its instance_group says KIND_GPU, but the onnxruntime of this "
            "server has no CUDA; install the GPU runtime or use KIND_CPU"
        )
    if kind == "GPU" or (kind == "AUTO" and has_cuda):
        return [("CUDAExecutionProvider", cuda_options(config, device_id)), cpu]
    return [cpu]


def cuda_options(config: Config, device_id: int) -> dict[str, str]:
    """The options of the CUDA provider; top-level `parameters` win over the accelerator's own."""
    accelerators = config.get("optimization", {}).get("execution_accelerators", {})
    options: dict[str, str] = {}
    for accelerator in accelerators.get("gpu_execution_accelerator", []):
        if accelerator["name"] != "cuda":
            raise LoadError(
                f"unable to load model '{config['name']}': the execution accelerator '{accelerator['name']}' is not "
                "part of this server; remove it or serve the model with NVIDIA's tritonserver image"
            )
        options |= accelerator.get("parameters", {})
    if parameter(config, "cudnn_conv_algo_search") or "cudnn_conv_algo_search" not in options:
        options["cudnn_conv_algo_search"] = choice(config, "cudnn_conv_algo_search", CONV_ALGO_SEARCHES, "0")
    if parameter(config, "arena_extend_strategy") or "arena_extend_strategy" not in options:
        options["arena_extend_strategy"] = choice(config, "arena_extend_strategy", ARENA_STRATEGIES, "0")
    for key in ("gpu_mem_limit", "do_copy_in_default_stream"):
        if value := parameter(config, key):
            options[key] = value
    return options | {"device_id": str(device_id)}


def parameter(config: Config, key: str) -> str:
    """The text of one entry of `parameters`, empty when it is not set."""
    return str(config.get("parameters", {}).get(key, {}).get("string_value", ""))


def choice(config: Config, key: str, meanings: Mapping[str, Any], default: str) -> Any:
    """What the value of a parameter means; raises LoadError for a value that is none of `meanings`."""
    value = parameter(config, key) or default
    if value.lower() not in meanings:
        raise LoadError(
            f"unable to load model '{config['name']}', parameter {key} must be one of {', '.join(meanings)}, "
            f"not '{value}'"
        )
    return meanings[value.lower()]


def thread_count(config: Config, key: str) -> int:
    """A number of threads; 0, also for negative values, lets ONNX Runtime choose."""
    value = parameter(config, key) or "0"
    try:
        return max(int(value), 0)
    except ValueError:
        raise LoadError(
            f"unable to load model '{config['name']}', parameter {key} must be a whole number, not '{value}'"
        ) from None
