from __future__ import annotations

import pytest

from triton_models.config.cautions import cautions
from triton_models.config.model import model_config
from triton_models.config.tuning import Tuning
from triton_models.tensors import TensorSpec

X = TensorSpec("x", "FP32", (3,))
CUDA = "optimization.execution_accelerators.gpu_execution_accelerator[0]"


def cautions_of(*settings: str, instances: int = 1, threads: int | None = None) -> list[str]:
    tuning = Tuning(("cpu",), instances, threads, settings)
    return cautions(model_config("small", (X,), (X,), 8, tuning))


@pytest.mark.parametrize(
    ("setting", "costs"),
    [
        ("dynamic_batching.priority_levels=2", "single requests can stall for 500 ms"),
        ("dynamic_batching.default_queue_policy.max_queue_size=9", "single requests can stall for 500 ms"),
        ("dynamic_batching.default_queue_policy.default_timeout_microseconds=9", "can stall for 500 ms"),
        ("dynamic_batching.default_queue_policy.allow_timeout_override=true", "can stall for 500 ms"),
        ("dynamic_batching.priority_queue_policy.1.max_queue_size=9", "does nothing without priority_levels"),
        ("dynamic_batching.max_queue_delay_microseconds=100", "comes alone waits that long for others"),
        ("dynamic_batching.preserve_ordering=true", "waits for all that were asked before it"),
    ],
)
def test_what_makes_requests_wait_is_said_in_plain_words(setting: str, costs: str) -> None:
    (caution,) = cautions_of(setting)
    assert setting.split("=")[0].split(".")[1] in caution
    assert costs in caution


def test_a_stall_is_told_once_whatever_brings_it_about() -> None:
    policy = "dynamic_batching.default_queue_policy"
    assert len(cautions_of(f"{policy}.max_queue_size=9", f"{policy}.allow_timeout_override=true")) == 1
    assert len(cautions_of("dynamic_batching.priority_levels=2", f"{policy}.max_queue_size=9")) == 1


def test_a_preferred_size_costs_nothing() -> None:
    assert cautions_of("dynamic_batching.preferred_batch_size=4") == []


def test_instances_that_take_each_others_processors_are_named() -> None:
    assert "instance_group has 2 instances on processors" in cautions_of(instances=2)[0]
    assert cautions_of(instances=2, threads=1) == []
    assert cautions_of("instance_group[0].kind=KIND_GPU", instances=2) == []


def test_memory_limits_where_triton_does_not_look_are_named() -> None:
    (caution,) = cautions_of(f"{CUDA}.name=cuda", f"{CUDA}.parameters.gpu_mem_limit=4096")
    assert "gpu_mem_limit of the cuda accelerator does nothing" in caution
    assert cautions_of("parameters.gpu_mem_limit=4096") == []
