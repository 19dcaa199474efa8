"""ONNX files of a newer opset or IR version than the servers read: written down to theirs, where that can be."""

from __future__ import annotations

import re

import onnx

from exporter.errors import SourceError, first_line
from exporter.target import Target

ONNX_DOMAINS = ("", "ai.onnx")
_OPERATOR = re.compile(r"(?:No Op registered for (\w+)|op_type:\s*\"?(\w+)|for operator (\w+)|\((\w+), node name)")


def opset_of(model: onnx.ModelProto) -> int:
    """The version of the standard operators that a model was written for."""
    return max((one.version for one in model.opset_import if one.domain in ONNX_DOMAINS), default=1)


def fitted(label: str, model: onnx.ModelProto, target: Target) -> onnx.ModelProto:
    """The model itself if the target reads it, else a copy that says the target's versions.

    A newer opset mostly adds types and operators, so the graph is checked against the older one as it stands; whether
    its answers stay what they were is for the proofs. Raises SourceError, with the operator that the target lacks.
    """
    opset = opset_of(model)
    if opset <= target.opset and model.ir_version <= target.ir_version:
        return model
    older = onnx.ModelProto()
    older.CopyFrom(model)
    older.ir_version = min(model.ir_version, target.ir_version)
    for one in older.opset_import:
        if one.domain in ONNX_DOMAINS:
            one.version = min(one.version, target.opset)
    try:
        onnx.checker.check_model(_without_outside_weights(older))
        onnx.shape_inference.infer_shapes(older, check_type=True, strict_mode=True)
    except Exception as error:  # a checker error or one of inference
        found = _OPERATOR.search(str(error))
        named = next(filter(None, found.groups()), None) if found else None
        what = f"operator {named}" if named else "the graph"
        raise SourceError(
            f"{label} has opset {opset} and IR version {model.ir_version}, but {target} reads up to opset "
            f"{target.opset} and IR version {target.ir_version}, and {what} cannot be written for those "
            f"({first_line(error)}); write the file again with torch.onnx.export(..., opset_version={target.opset}), "
            "or name a newer --target-triton",
            str(error),
        ) from error
    return older


def _without_outside_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that takes the weights in other files as inputs: the checker looks for those files in the wrong place."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    inputs = {value.name for value in model.graph.input}
    found.graph.ClearField("initializer")
    for tensor in model.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            found.graph.initializer.append(tensor)
        elif tensor.name not in inputs:
            found.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return found
