from __future__ import annotations

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from triton_models.config.cautions import cautions
from triton_models.config.model import model_config
from triton_models.config.pbtxt import to_pbtxt
from triton_models.config.tuning import Tuning
from triton_models.errors import ConfigError
from triton_models.tensors import TensorSpec

IDS = TensorSpec("ids", "INT64", (-1,))
WORD = TensorSpec("word", "BYTES", ())
SCORE = TensorSpec("score", "FP32", ())
SHAPES = [{"ids": (16,), "word": ()}]


def config(max_batch_size: int = 64, tuning: Tuning | None = None, *, precision: str = "fp32") -> ModelConfig:
    return model_config(
        "small", (IDS, WORD), (SCORE,), max_batch_size, tuning or Tuning(), warm_up=SHAPES, precision=precision
    )


def warm_up_of(written: ModelConfig) -> list[tuple[int, list[int], list[int]]]:
    return [
        (request.batch_size, list(request.inputs["ids"].dims), list(request.inputs["word"].dims))
        for request in written.model_warmup
    ]


def test_a_config_is_complete_and_runs_on_every_server() -> None:
    written = config()
    assert (written.backend, written.default_model_filename) == ("onnxruntime", "model.onnx")
    assert written.version_policy.latest.num_versions == 1
    assert [(group.name, group.count, group.kind) for group in written.instance_group] == [
        ("small_auto", 1, ModelInstanceGroup.KIND_AUTO)
    ]
    assert {key: parameter.string_value for key, parameter in written.parameters.items()} == {
        "intra_op_thread_count": "0",
        "inter_op_thread_count": "1",
        "execution_mode": "0",
    }


@pytest.mark.parametrize("max_batch_size", [0, 1, 64])
def test_nothing_is_ever_set_that_makes_requests_stall(max_batch_size: int) -> None:
    written = config(max_batch_size)
    text = to_pbtxt(written)
    assert ("dynamic_batching" in text) == (max_batch_size > 0)
    for stalling in ("priority", "queue", "timeout", "delay", "preferred_batch_size"):
        assert stalling not in text
    assert cautions(written) == []


def test_each_device_has_a_group_of_its_own() -> None:
    written = config(tuning=Tuning(("cpu", "cuda"), instances=2, threads=4))
    assert [(group.name, group.count, group.kind) for group in written.instance_group] == [
        ("small_cpu", 2, ModelInstanceGroup.KIND_CPU),
        ("small_cuda", 2, ModelInstanceGroup.KIND_GPU),
    ]
    assert written.parameters["intra_op_thread_count"].string_value == "4"
    assert not written.optimization.HasField("execution_accelerators")


@pytest.mark.parametrize(
    ("precision", "mode"), [("fp32", "FP32"), ("fp16", "FP16"), ("bf16", "BF16"), ("int8", "INT8")]
)
def test_tensorrt_keeps_what_takes_minutes_to_build(precision: str, mode: str) -> None:
    written = config(tuning=Tuning(("tensorrt",)), precision=precision)
    (accelerator,) = written.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert dict(accelerator.parameters) == {
        "precision_mode": mode,
        "max_workspace_size_bytes": str(4 * 1024**3),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": "/tmp/rayton-tensorrt-small",
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": "/tmp/rayton-tensorrt-small",
    }
    assert written.instance_group[0].kind == ModelInstanceGroup.KIND_GPU


@pytest.mark.parametrize(
    ("max_batch_size", "requests"),
    [
        (64, [(1, [16], [1]), (8, [16], [1])]),
        (4, [(1, [16], [1]), (4, [16], [1])]),
        (1, [(1, [16], [1])]),
        (0, [(1, [1, 16], [1, 1]), (1, [8, 16], [8, 1])]),
    ],
)
def test_the_usual_batches_are_run_before_a_model_is_ready(
    max_batch_size: int, requests: list[tuple[int, list[int], list[int]]]
) -> None:
    written = config(max_batch_size)
    assert warm_up_of(written) == requests
    assert len({request.name for request in written.model_warmup}) == len(requests)
    assert all(given.zero_data for request in written.model_warmup for given in request.inputs.values())


def test_tensorrt_sees_the_largest_batch_before_live_traffic_brings_it() -> None:
    assert [rows for rows, _, _ in warm_up_of(config(tuning=Tuning(("tensorrt",))))] == [1, 8, 64]


def test_without_shapes_nothing_is_warmed_up() -> None:
    assert not model_config("small", (IDS,), (SCORE,), 8).model_warmup


@pytest.mark.parametrize("shapes", [{"ids": (16,)}, {"ids": (16, 2), "word": ()}, {"ids": (-1,), "word": ()}])
def test_a_warm_up_that_does_not_fit_the_inputs_is_refused(shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(
        ConfigError, match=r"a warm-up request gives (nothing|\[.*\]) for (ids INT64\[\?\]|word BYTES\[\])"
    ):
        model_config("small", (IDS, WORD), (SCORE,), 8, warm_up=[shapes])


def test_settings_have_the_last_word() -> None:
    written = config(tuning=Tuning(settings=("instance_group[0].count=3", "model_warmup=")))
    assert (written.instance_group[0].count, len(written.model_warmup)) == (3, 0)


def test_requests_that_are_never_put_together_have_no_batcher_to_set() -> None:
    with pytest.raises(ConfigError, match="dynamic_batching cannot be set for a model whose requests are never"):
        config(0, Tuning(settings=("dynamic_batching.preserve_ordering=true",)))
