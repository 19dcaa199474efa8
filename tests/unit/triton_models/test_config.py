from __future__ import annotations

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from triton_models.config import differences, from_pbtxt, inputs_of, model_config, outputs_of, to_pbtxt
from triton_models.errors import ConfigError
from triton_models.tensors import DTYPES, TensorSpec

IDS = TensorSpec("ids", "INT64", (-1,))
PIXELS = TensorSpec("pixels", "UINT8", (3, -1, 224))
SCORE = TensorSpec("score", "FP32", ())


def config(*outputs: TensorSpec, max_batch_size: int = 8) -> ModelConfig:
    return model_config("small", (IDS, PIXELS), outputs, max_batch_size)


def test_the_text_reads_back_as_the_same_tensors() -> None:
    each = [TensorSpec(dtype.triton.lower(), dtype.triton, (2,)) for dtype in DTYPES]
    written = config(SCORE, *each)
    read = from_pbtxt(to_pbtxt(written), "config.pbtxt")
    assert read == written
    assert inputs_of(read) == (IDS, PIXELS)
    assert outputs_of(read) == (SCORE, *each)


def test_a_scalar_row_is_one_number_on_the_wire_and_none_in_the_model() -> None:
    (output,) = config(SCORE).output
    assert list(output.dims) == [1]
    assert output.HasField("reshape")
    assert list(output.reshape.shape) == []


def test_a_config_is_complete_and_runs_on_every_server() -> None:
    written = config(SCORE)
    assert (written.backend, written.default_model_filename) == ("onnxruntime", "model.onnx")
    assert [group.count for group in written.instance_group] == [1]


@pytest.mark.parametrize("max_batch_size", [0, 1, 64])
def test_nothing_is_ever_set_that_makes_requests_stall(max_batch_size: int) -> None:
    text = to_pbtxt(config(SCORE, max_batch_size=max_batch_size))
    assert ("dynamic_batching" in text) == (max_batch_size > 0)
    for stalling in ("priority", "queue", "timeout", "delay", "preferred_batch_size"):
        assert stalling not in text


def test_what_is_not_a_config_names_its_file() -> None:
    with pytest.raises(ConfigError, match=r"small/config.pbtxt is not a model configuration: .*nonsense"):
        from_pbtxt("nonsense: 1", "small/config.pbtxt")


def test_equal_configs_do_not_differ() -> None:
    assert differences(config(SCORE), config(SCORE)) == []


def test_how_a_model_is_run_is_not_compared() -> None:
    tuned = config(SCORE)
    tuned.instance_group[0].count = 4
    tuned.parameters["intra_op_thread_count"].string_value = "2"
    assert differences(tuned, config(SCORE)) == []


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (config(), ["output score FP32[] is gone"]),
        (config(SCORE, TensorSpec("label", "BYTES", (1,))), ["output label BYTES[1] is new"]),
        (
            config(TensorSpec("score", "FP16", ())),
            ["output score FP32[] is gone", "output score FP16[] is new"],
        ),
        (
            config(TensorSpec("score", "FP32", (1,))),
            ["output score FP32[] is gone", "output score FP32[1] is new"],
        ),
        (config(SCORE, max_batch_size=4), ["max_batch_size is 4 instead of 8"]),
    ],
)
def test_what_a_client_would_notice_is_named(other: ModelConfig, found: list[str]) -> None:
    assert differences(config(SCORE), other) == found
