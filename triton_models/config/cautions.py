"""Settings of a config that cost more than they say, in plain words."""

from __future__ import annotations

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup, ModelQueuePolicy

_STALL = (
    "single requests can stall for 500 ms, because the batcher then does not hear of a request that comes while an "
    "instance is busy, and sleeps until its clock wakes it"
)
_TOP_LEVEL_ONLY = ("gpu_mem_limit", "cudnn_conv_algo_search", "arena_extend_strategy", "do_copy_in_default_stream")


def cautions(config: ModelConfig) -> list[str]:
    """A sentence for each setting that makes requests wait or does not do what it says; empty for a plain config.

    Takes what `model_config` made, what a repository holds, or what a live server reports.
    """
    return [*_of_the_batcher(config), *_of_instances(config), *_of_accelerators(config)]


def _of_the_batcher(config: ModelConfig) -> list[str]:
    batcher, found = config.dynamic_batching, []
    if batcher.priority_levels:
        found.append(
            f"dynamic_batching.priority_levels is {batcher.priority_levels}: {_STALL}. Levels put a queue in order; "
            "they do not stop a batch that runs"
        )
    if _limits(batcher.default_queue_policy) and not batcher.priority_levels:
        found.append(f"dynamic_batching.default_queue_policy sets {_limits(batcher.default_queue_policy)}: {_STALL}")
    if batcher.priority_queue_policy and not batcher.priority_levels:
        found.append("dynamic_batching.priority_queue_policy does nothing without priority_levels")
    if batcher.max_queue_delay_microseconds:
        found.append(
            f"dynamic_batching.max_queue_delay_microseconds is {batcher.max_queue_delay_microseconds}: a request that "
            "comes alone waits that long for others before it runs"
        )
    if batcher.preserve_ordering:
        found.append(
            "dynamic_batching.preserve_ordering is on: an answer that is ready waits for all that were asked before it"
        )
    return found


def _limits(policy: ModelQueuePolicy) -> str:
    """The fields of a queue policy that keep the batcher from fetching ahead, as they are written."""
    fields = ("default_timeout_microseconds", "allow_timeout_override", "max_queue_size")
    return ", ".join(field for field in fields if getattr(policy, field))


def _of_instances(config: ModelConfig) -> list[str]:
    on_processors = sum(
        group.count
        for group in config.instance_group
        if group.kind != ModelInstanceGroup.KIND_GPU and not group.passive
    )
    threads = config.parameters.get("intra_op_thread_count")
    if on_processors < 2 or (threads is not None and threads.string_value not in ("", "0")):
        return []
    return [
        f"instance_group has {on_processors} instances on processors and no intra_op_thread_count: each computes with "
        "as many threads as there are processors, and they take them from each other"
    ]


def _of_accelerators(config: ModelConfig) -> list[str]:
    found = []
    for accelerator in config.optimization.execution_accelerators.gpu_execution_accelerator:
        useless = [key for key in _TOP_LEVEL_ONLY if key in accelerator.parameters]
        if accelerator.name == "cuda" and useless:
            found.append(
                f"{useless[0]} of the cuda accelerator does nothing: Triton writes its own value over it; set "
                f"parameters.{useless[0]} instead"
            )
    return found
