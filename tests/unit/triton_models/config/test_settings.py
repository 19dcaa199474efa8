from __future__ import annotations

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from triton_models.config.model import model_config
from triton_models.config.pbtxt import from_pbtxt, to_pbtxt
from triton_models.config.settings import apply
from triton_models.config.tuning import Tuning
from triton_models.errors import ConfigError
from triton_models.tensors import TensorSpec

X = TensorSpec("x", "FP32", (3,))


def plain() -> ModelConfig:
    return model_config("small", (X,), (X,), 8, Tuning(("cpu", "tensorrt")))


def with_settings(*settings: str) -> ModelConfig:
    config = plain()
    apply(settings, config)
    return config


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("dynamic_batching.max_queue_delay_microseconds=100", "dynamic_batching { max_queue_delay_microseconds: 100 }"),
        ("dynamic_batching.preferred_batch_size=4, 8", "dynamic_batching { preferred_batch_size: [4, 8] }"),
        ("dynamic_batching.preserve_ordering=true", "dynamic_batching { preserve_ordering: true }"),
        (
            "dynamic_batching.priority_queue_policy.2.max_queue_size=7",
            "dynamic_batching { priority_queue_policy { key: 2 value { max_queue_size: 7 } } }",
        ),
        ("instance_group[0].gpus=0,1", "instance_group { gpus: [0, 1] }"),
        ("instance_group[0].kind=kind_model", "instance_group { kind: KIND_MODEL }"),
        ("optimization.graph.level=-1", "optimization { graph { level: -1 } }"),
        ("version_policy.all=true", "version_policy { all { } }"),
        ("version_policy.latest.num_versions=2", "version_policy { latest { num_versions: 2 } }"),
        ("version_policy.specific.versions=3,5", "version_policy { specific { versions: [3, 5] } }"),
        ("parameters.gpu_mem_limit=4096", 'parameters { key: "gpu_mem_limit" value { string_value: "4096" } }'),
        ("parameters.a.string_value=b=c", 'parameters { key: "a" value { string_value: "b=c" } }'),
        (
            "parameters.session.use_device_allocator_for_initializers=1",
            'parameters { key: "session.use_device_allocator_for_initializers" value { string_value: "1" } }',
        ),
        ("metric_tags.team=search", 'metric_tags { key: "team" value: "search" }'),
    ],
)
def test_a_setting_is_that_field_of_tritons_own_config(setting: str, text: str) -> None:
    config = ModelConfig()
    apply([setting], config)
    assert config == from_pbtxt(text, "config.pbtxt")


def test_settings_are_written_in_their_order_over_what_is_there() -> None:
    config = with_settings(
        "instance_group[1].count=2",
        "instance_group[1].count=3",
        "version_policy.all=true",
        "parameters.execution_mode=1",
    )
    assert [group.count for group in config.instance_group] == [1, 3]
    assert config.version_policy.WhichOneof("policy_choice") == "all"
    assert config.parameters["execution_mode"].string_value == "1"


def test_the_parameters_of_an_accelerator_are_within_reach() -> None:
    path = "optimization.execution_accelerators.gpu_execution_accelerator[0].parameters.trt_engine_cache_path"
    config = with_settings(f"{path}=/cache")
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.parameters["trt_engine_cache_path"] == "/cache"


@pytest.mark.parametrize(
    ("setting", "gone"),
    [
        ("instance_group=", "instance_group"),
        ("instance_group[0]=", "small_cpu"),
        ("parameters.execution_mode=", "execution_mode"),
        ("version_policy.latest.num_versions=", "num_versions"),
        ("dynamic_batching=", "dynamic_batching"),
    ],
)
def test_an_empty_value_takes_a_field_out(setting: str, gone: str) -> None:
    assert gone in to_pbtxt(plain())
    assert gone not in to_pbtxt(with_settings(setting))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            "dynamic_batching.max_queue_delay=1",
            "dynamic_batching has no field 'max_queue_delay'; did you mean max_queue_",
        ),
        ("instancegroup[0].count=1", "the config has no field 'instancegroup'; did you mean instance_group?"),
        ("instance_group[0].zzz=1", "instance_group[0] has no field 'zzz'; there are name, kind, count"),
        ("instance_group.count=1", "instance_group is a list; say which one, as in instance_group[0].name"),
        ("instance_group[5].count=1", "instance_group[5] is not there: the list has 2, the next one is [2]"),
        ("instance_group[0]=2", "instance_group[0] is a group of settings; it has name, kind"),
        ("instance_group[0].count=two", "instance_group[0].count is a whole number, not 'two'"),
        ("instance_group[0].count=9999999999", "is a whole number that does not go as far as 9999999999"),
        ("instance_group[0].count.x=1", "nothing is below instance_group[0].count, which is a whole number"),
        (
            "instance_group[0].kind=GPU",
            "instance_group[0].kind is one of KIND_AUTO, KIND_GPU, KIND_CPU, KIND_MODEL, not",
        ),
        ("instance_group[0].gpus=0,x", "instance_group[0].gpus is a whole number, not 'x'"),
        ("instance_group[0].gpus[0]=1", "instance_group[0].gpus takes no index"),
        ("dynamic_batching.preserve_ordering=yes", "dynamic_batching.preserve_ordering is true or false, not 'yes'"),
        ("dynamic_batching.priority_levels=-1", "is a whole number from 0 up that does not go as far as -1"),
        ("dynamic_batching=1", "dynamic_batching is a group of settings; it has preferred_batch_size"),
        ("dynamic_batching.priority_queue_policy.one.max_queue_size=1", "is a whole number from 0 up, not 'one'"),
        ("dynamic_batching.priority_queue_policy.1=1", "priority_queue_policy.1 is a group of settings"),
        ("version_policy.all=1", "version_policy.all is an empty group; its only value is true"),
        ("parameters=1", "parameters has entries by name; write parameters.KEY=1"),
        ("max_batch_size=4", "max_batch_size cannot be set: the proofs of an export are for one size"),
        ("input[0].dims=4", "input cannot be set: the inputs are those of the model"),
        ("backend=python", "backend cannot be set: Rayton writes models for onnxruntime"),
        ("instance_group", "has no value; write it as in dynamic_batching.preserve_ordering=true"),
        ("=1", "'' is no path of fields"),
        ("instance group=1", "'instance group' is no path of fields, such as instance_group[0].count"),
    ],
)
def test_a_setting_that_triton_has_no_place_for_says_why(setting: str, said: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        with_settings(setting)
    assert f"setting {setting!r}" in str(refusal.value)
    assert said in str(refusal.value)
