from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import onnxruntime
import pytest

from exporter.errors import ConversionError
from exporter.graph.settle import settle
from tests.support.onnx_models import HEADER
from triton_models.tensors import TensorSpec

X = np.arange(6, dtype=np.float32).reshape(2, 3)
INPUT = (TensorSpec("x", "FP32", (3,)),)


def model_of(graph: str) -> ir.Model:
    return ir.from_proto(onnx.parser.parse_model(HEADER.format(ir=10, opset=20) + graph))


def answers(model: ir.Model, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def outputs(*names: str) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, "FP32", (3,)) for name in names)


def test_an_output_may_be_called_like_an_inner_value() -> None:
    model = model_of("g (float[N, 3] x) => (float[N, 3] y) { embedding = Neg(x)  y = Add(embedding, x) }")
    settle(model, INPUT, outputs("embedding"), {})
    assert np.array_equal(answers(model, x=X)["embedding"], np.zeros_like(X))


def test_outputs_may_swap_names_with_inputs_and_constants() -> None:
    model = model_of(
        "g (float[N, 3] a) => (float[N, 3] b, float[N, 3] c) <float[3] w = {1, 2, 3}> { b = Add(a, w)  c = Sub(a, w) }"
    )
    settle(model, (TensorSpec("b", "FP32", (3,)),), outputs("w", "a"), {})
    found = answers(model, b=X)
    assert np.array_equal(found["w"], X + np.array([1, 2, 3]))
    assert np.array_equal(found["a"], X - np.array([1, 2, 3]))


def test_an_output_may_be_called_like_a_value_in_a_branch() -> None:
    model = model_of(
        """g (float[N, 3] x) => (float[N, 3] y) {
            yes = Constant<value = bool {1}>()
            y = If(yes) <
                then_branch = t () => (float[N, 3] inner) { hidden = Neg(x)  inner = Neg(hidden) },
                else_branch = e () => (float[N, 3] other) { other = Abs(x) }
            >
        }"""
    )
    settle(model, INPUT, outputs("hidden"), {})
    assert np.array_equal(answers(model, x=X)["hidden"], X)


def test_one_value_may_be_several_outputs_and_an_input_may_be_one() -> None:
    model = model_of("g (float[N, 3] x) => (float[N, 3] y) { y = Neg(x) }")
    model.graph.outputs.extend([model.graph.outputs[0], model.graph.inputs[0]])
    settle(model, INPUT, outputs("first", "second", "third"), {})
    found = answers(model, x=X)
    assert np.array_equal(found["first"], -X)
    assert np.array_equal(found["second"], -X)
    assert np.array_equal(found["third"], X)


def test_shapes_are_declared_with_the_names_of_the_axes() -> None:
    model = model_of("g (float[s0, s1] a) => (float[s0, s1] b) { b = Neg(a) }")
    settle(model, (TensorSpec("x", "FP32", (-1,)),), (TensorSpec("y", "FP32", (-1,)),), {"x": {1: "tokens"}})
    assert [str(size) for size in model.graph.outputs[0].shape or ()] == ["batch", "tokens"]


def test_a_batch_axis_with_one_length_is_refused() -> None:
    model = model_of("g (float[2, 3] a) => (float[2, 3] b) { b = Neg(a) }")
    with pytest.raises(ConversionError, match=r"the batch axis of x \(axis 0\) became the fixed length 2"):
        settle(model, INPUT, outputs("y"), {})


def test_a_moving_axis_with_one_length_is_refused_by_its_name() -> None:
    model = model_of("g (float[N, 9] a) => (float[N, 9] b) { b = Neg(a) }")
    with pytest.raises(ConversionError, match=r"the tokens axis of x \(axis 1\) became the fixed length 9"):
        settle(model, (TensorSpec("x", "FP32", (-1,)),), (TensorSpec("y", "FP32", (-1,)),), {"x": {1: "tokens"}})


def test_traces_of_the_exporting_machine_are_removed() -> None:
    model = model_of("g (float[N, 3] x) => (float[N, 3] y) { y = Neg(x) }")
    for node in model.graph:
        node.metadata_props["pkg.torch.onnx.stack_trace"] = 'File "/home/someone/model.py", line 3'
        node.doc_string = "/home/someone/model.py"
    settle(model, INPUT, outputs("y"), {})
    assert b"someone" not in ir.to_proto(model).SerializeToString()
