"""How many requests of a model can run at the same time."""

from __future__ import annotations

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup


def instances(config: ModelConfig) -> int:
    """All instances that answer requests; 0 for a model that has none of its own, as an ensemble."""
    return sum(_size(group) for group in config.instance_group)


def processor_instances(config: ModelConfig) -> int:
    """Those that may compute on processors: all that are not bound to a GPU."""
    return sum(_size(group) for group in config.instance_group if group.kind != ModelInstanceGroup.KIND_GPU)


def _size(group: ModelInstanceGroup) -> int:
    """A group has its count on each GPU that it names."""
    return 0 if group.passive else group.count * max(1, len(group.gpus))
