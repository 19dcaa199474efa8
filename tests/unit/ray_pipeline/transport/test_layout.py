from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from ray_pipeline.transport.base import Request
from ray_pipeline.transport.layout import OutputSizes, Span, layout_of

OUTPUTS = """
output { name: "fixed" data_type: TYPE_FP32 dims: [3, 2] }
output { name: "scalar" data_type: TYPE_INT64 dims: [1] reshape { shape: [] } }
output { name: "moving" data_type: TYPE_FP32 dims: [-1, 2] }
output { name: "text" data_type: TYPE_STRING dims: [1] }
"""
UNBATCHED = 'input { name: "x" data_type: TYPE_FP32 dims: [-1] } output { name: "y" data_type: TYPE_FP32 dims: [-1] }'


def sizes(config: str) -> OutputSizes:
    return OutputSizes.of(text_format.Parse(config, ModelConfig()))


def test_only_outputs_whose_size_no_answer_can_change_have_one() -> None:
    assert sizes(f"max_batch_size: 8 {OUTPUTS}") == OutputSizes({"fixed": 24, "scalar": 8}, batched=True)


def test_an_unbatched_model_promises_no_number_of_rows() -> None:
    assert sizes(UNBATCHED) == OutputSizes({}, batched=False)
    assert sizes(OUTPUTS).of_each == {"fixed": 24, "scalar": 8}


def test_spans_do_not_overlap_and_begin_at_cache_lines() -> None:
    inputs = {"x": np.zeros((5, 3), np.float32), "mask": np.zeros((5, 1), np.bool_)}
    layout = layout_of(Request("m", 1, inputs, ("fixed",)), OutputSizes({"fixed": 24, "other": 8}, batched=True))
    assert layout.inputs == {"x": Span(0, 60), "mask": Span(64, 5)}
    assert layout.outputs == {"fixed": Span(128, 120)}
    assert layout.size == 256


@pytest.mark.parametrize(("batched", "size"), [(True, 120), (False, 24)])
def test_an_output_grows_with_the_rows_of_a_batch_alone(batched: bool, size: int) -> None:
    request = Request("m", 1, {"x": np.zeros((5, 1), np.float32)}, ("fixed",))
    assert layout_of(request, OutputSizes({"fixed": 24}, batched)).outputs["fixed"].size == size


def test_strings_and_empty_tensors_have_no_place() -> None:
    inputs = {"text": np.array([[b"a"]], np.object_), "empty": np.zeros((1, 0), np.float32)}
    assert layout_of(Request("m", 1, inputs, ("text",)), OutputSizes({}, batched=True)).size == 0
