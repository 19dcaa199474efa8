from __future__ import annotations

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from triton_models.config.cautions import cautions, shared_lane_cautions, sharing_cautions
from triton_models.config.model import model_config
from triton_models.config.tuning import Tuning
from triton_models.tensors import TensorSpec

X = TensorSpec("x", "FP32", (3,))
CUDA = "optimization.execution_accelerators.gpu_execution_accelerator[0]"


def small(*settings: str, instances: int = 1, threads: int | None = None) -> ModelConfig:
    return model_config("small", (X,), (X,), 8, Tuning(("cpu",), instances, threads, settings))


def cautions_of(*settings: str, instances: int = 1, threads: int | None = None) -> list[str]:
    return cautions(small(*settings, instances=instances, threads=threads))


@pytest.mark.parametrize(
    ("setting", "costs", "change"),
    [
        ("priority_levels=2", "single requests can stall for 500 ms", "leave them out"),
        ("default_queue_policy.max_queue_size=9", "single requests can stall for 500 ms", "leave it out"),
        ("default_queue_policy.default_timeout_microseconds=9", "can stall for 500 ms", "leave it out"),
        ("default_queue_policy.allow_timeout_override=true", "can stall for 500 ms", "leave it out"),
        ("max_queue_delay_microseconds=100", "comes alone waits that long for others", "leave it out"),
        ("preserve_ordering=true", "waits for all that were asked before it", "leave it out"),
    ],
)
def test_what_makes_requests_wait_is_said_in_plain_words(setting: str, costs: str, change: str) -> None:
    config = small(f"dynamic_batching.{setting}")
    (caution,) = sharing_cautions(config)
    assert cautions(config) == [caution]
    path, _, value = setting.partition("=")
    assert all(field in caution for field in path.split("."))
    assert value in caution
    assert costs in caution
    assert change in caution


def test_a_policy_for_levels_that_are_not_there_harms_nobody() -> None:
    config = small("dynamic_batching.priority_queue_policy.1.max_queue_size=9")
    assert sharing_cautions(config) == []
    (caution,) = cautions(config)
    assert "priority_queue_policy does nothing without priority_levels" in caution


def test_a_plain_config_is_safe_to_share() -> None:
    assert sharing_cautions(small()) == cautions(small()) == []


def test_requests_that_are_never_put_together_wait_in_a_line() -> None:
    config = small()
    config.ClearField("dynamic_batching")
    (caution,) = sharing_cautions(config)
    assert caution.startswith("dynamic_batching is not set with max_batch_size 8: ")
    assert caution.endswith("add dynamic_batching { }")


def test_a_model_that_cannot_put_requests_together_is_not_asked_to() -> None:
    assert sharing_cautions(ModelConfig(max_batch_size=1)) == []
    assert sharing_cautions(model_config("small", (X,), (X,), 0)) == []
    sequences = ModelConfig(max_batch_size=8)
    sequences.sequence_batching.SetInParent()
    assert sharing_cautions(sequences) == []


def test_one_instance_is_unsafe_only_where_the_lane_is_shared() -> None:
    (caution,) = shared_lane_cautions(small())
    assert "instance_group has 1 instance: a batch of bulk that runs is not interrupted" in caution
    assert 'lane = "own"' in caution
    assert shared_lane_cautions(small(instances=2, threads=1)) == []
    assert shared_lane_cautions(ModelConfig()) == []


def test_instances_that_share_a_lane_must_not_take_each_others_processors() -> None:
    (caution,) = shared_lane_cautions(small(instances=2))
    assert "they take them from each other; set parameters.intra_op_thread_count" in caution


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
