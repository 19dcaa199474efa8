"""Settings of a config that cost more than they say, in plain words."""

from __future__ import annotations

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelQueuePolicy

from triton_models.config.instances import instances, processor_instances

_STALL = (
    "single requests can stall for 500 ms, because the batcher then does not hear of a request that comes while an "
    "instance is busy, and sleeps until its clock wakes it"
)
_TOP_LEVEL_ONLY = ("gpu_mem_limit", "cudnn_conv_algo_search", "arena_extend_strategy", "do_copy_in_default_stream")


def cautions(config: ModelConfig) -> list[str]:
    """A sentence for each setting that makes requests wait or does not do what it says; empty for a plain config.

    Takes what `model_config` made, what a repository holds, or what a live server reports. Each sentence names the
    field, its value, its effect, and what to change.
    """
    return [*sharing_cautions(config), *_of_idle_policies(config), *_of_threads(config), *_of_accelerators(config)]


def sharing_cautions(config: ModelConfig) -> list[str]:
    """Those of the cautions that make a model unsafe for online users, above all beside bulk, in whatever lane."""
    batcher, found = config.dynamic_batching, []
    if batcher.priority_levels:
        found.append(
            f"dynamic_batching.priority_levels is {batcher.priority_levels}: {_STALL}. Levels put a queue in order; "
            "they do not stop a batch that runs: leave them out"
        )
    if _limits(batcher.default_queue_policy) and not batcher.priority_levels:
        limits = _limits(batcher.default_queue_policy)
        found.append(f"dynamic_batching.default_queue_policy sets {limits}: {_STALL}; leave it out")
    if batcher.max_queue_delay_microseconds:
        found.append(
            f"dynamic_batching.max_queue_delay_microseconds is {batcher.max_queue_delay_microseconds}: a request that "
            "comes alone waits that long for others before it runs; leave it out, as requests that wait for an "
            "instance are put together without it"
        )
    if batcher.preserve_ordering:
        found.append(
            "dynamic_batching.preserve_ordering is true: an answer that is ready waits for all that were asked before "
            "it, those of bulk too; leave it out"
        )
    if config.max_batch_size > 1 and config.WhichOneof("scheduling_choice") is None:
        found.append(
            f"dynamic_batching is not set with max_batch_size {config.max_batch_size}: requests are never put "
            "together, so that users wait in a line, each for a whole run of the model; add dynamic_batching { }"
        )
    return found


def shared_lane_cautions(config: ModelConfig) -> list[str]:
    """What makes a model unsafe besides, where bulk goes to the very server of the online users."""
    if instances(config) != 1:
        return _of_threads(config)
    return [
        "instance_group has 1 instance: a batch of bulk that runs is not interrupted, and users wait for what is left "
        'of it; have 2 instances, or give bulk a lane of its own (lane = "own")'
    ]


def _limits(policy: ModelQueuePolicy) -> str:
    """The fields of a queue policy that keep the batcher from fetching ahead, as they are written."""
    found = {
        "default_timeout_microseconds": str(policy.default_timeout_microseconds or ""),
        "allow_timeout_override": "true" if policy.allow_timeout_override else "",
        "max_queue_size": str(policy.max_queue_size or ""),
    }
    return ", ".join(f"{field} {value}" for field, value in found.items() if value)


def _of_idle_policies(config: ModelConfig) -> list[str]:
    batcher = config.dynamic_batching
    if not batcher.priority_queue_policy or batcher.priority_levels:
        return []
    return ["dynamic_batching.priority_queue_policy does nothing without priority_levels; leave it out"]


def _of_threads(config: ModelConfig) -> list[str]:
    on_processors = processor_instances(config)
    threads = config.parameters.get("intra_op_thread_count")
    if on_processors < 2 or (threads is not None and threads.string_value not in ("", "0")):
        return []
    return [
        f"instance_group has {on_processors} instances on processors and no intra_op_thread_count: each computes with "
        "as many threads as there are processors, and they take them from each other; set "
        "parameters.intra_op_thread_count to the processors of one instance"
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
