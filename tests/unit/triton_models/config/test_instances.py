from __future__ import annotations

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from triton_models.config.instances import instances, processor_instances

GPU, CPU = ModelInstanceGroup.KIND_GPU, ModelInstanceGroup.KIND_CPU


def test_instances_of_all_groups_are_counted() -> None:
    config = ModelConfig(
        instance_group=[
            ModelInstanceGroup(kind=GPU, count=2, gpus=[0, 1]),
            ModelInstanceGroup(kind=CPU, count=3),
            ModelInstanceGroup(kind=CPU, count=9, passive=True),
        ]
    )
    assert instances(config) == 7
    assert processor_instances(config) == 3


def test_a_model_without_groups_has_no_instances_of_its_own() -> None:
    assert instances(ModelConfig()) == processor_instances(ModelConfig()) == 0
