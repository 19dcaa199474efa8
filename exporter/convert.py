"""A PyTorch module becomes an ONNX file that NVIDIA's backend and ours both load."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir
import torch
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from exporter.chatter import captured
from exporter.errors import ConversionError, first_line
from exporter.graph.attention import drop_idle_guards
from exporter.graph.settle import fixed_axis, settle
from exporter.target import DEFAULT_TARGET, LARGEST_INLINE_BYTES, WRITTEN_OPSET, Target
from triton_models.tensors import TensorSpec


@dataclass(frozen=True)
class Traced:
    """A module ready for tracing: takes the example tensors in order, gives a tuple of tensors.

    `axes` names the moving axes of each input, counted with the batch axis as 0 and without it; every example has at
    least two rows and a length of at least two on each moving axis, or PyTorch would take the length for a constant.
    """

    module: torch.nn.Module
    examples: tuple[torch.Tensor, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    axes: dict[str, dict[int, str]]


def convert(
    traced: Traced, path: Path, target: Target = DEFAULT_TARGET, largest_inline_bytes: int = LARGEST_INLINE_BYTES
) -> None:
    """Writes the module as ONNX to `path`; weights beyond `largest_inline_bytes` lie beside it in `<path>.data`.

    Raises ConversionError, which names the operator or the shape that stands in the way.
    """
    with captured() as heard:
        try:
            program = torch.onnx.export(
                traced.module,
                traced.examples,
                dynamo=True,
                opset_version=min(WRITTEN_OPSET, target.opset),
                dynamic_shapes=(_dynamic_shapes(traced),),
                verbose=False,
            )
        except Exception as error:
            known = _explained(error, traced)
            last = _chain(error)[-1]
            said = f"{heard.getvalue()}{type(last).__name__}: {last}" if known is None else ""
            raise ConversionError(known or f"PyTorch cannot export the model: {first_line(last)}", said) from error
    assert program is not None
    model = program.model
    settle(model, traced.inputs, traced.outputs, traced.axes)
    drop_idle_guards(model)
    model.ir_version = min(model.ir_version, target.ir_version)
    _save(model, path, largest_inline_bytes)
    try:
        onnx.checker.check_model(path)
    except onnx.checker.ValidationError as error:
        raise ConversionError(f"PyTorch wrote an invalid ONNX graph: {first_line(error)}", str(error)) from error


def _dynamic_shapes(traced: Traced) -> tuple[dict[int, object], ...]:
    moving = torch.export.Dim.DYNAMIC
    return tuple({0: moving, **dict.fromkeys(traced.axes.get(spec.name, {}), moving)} for spec in traced.inputs)


def _save(model: ir.Model, path: Path, largest_inline_bytes: int) -> None:
    weights = (value.const_value for value in model.graph.initializers.values())
    is_large = sum(tensor.nbytes for tensor in weights if tensor is not None) > largest_inline_bytes
    # The name of the data file is written into the graph, so it must be the final one.
    ir.save(model, path, external_data=f"{path.name}.data" if is_large else None)


_OPERATOR = re.compile(r"No ONNX function found for <OpOverload\(op='([\w.]+)'")
_SPECIALIZED = re.compile(r"inferred a static shape of (\d+) for dimension inputs\['\w+'\]\[(\d+)\]\.shape\[(\d+)\]")
_USER_LINE = re.compile(r'File ".*?([^/"]+)", line (\d+), in (.+)\n\s*(.+)')


def _explained(error: Exception, traced: Traced) -> str | None:
    """What stands in the way, in one sentence with what to do, or None where only PyTorch's own words are left.

    PyTorch has one type of error for all of it, so it is told apart by what it says.
    """
    for one in _chain(error):
        text = str(one)
        if found := _OPERATOR.search(text):
            return f"operator {found[1]} has no ONNX form; write that step of the model with other operators"
        if found := _SPECIALIZED.search(text):
            spec, axis = traced.inputs[int(found[2])], int(found[3])
            return f"{fixed_axis(spec, axis, traced.axes, int(found[1]))} while PyTorch traced the model"
        if isinstance(one, GuardOnDataDependentSymNode):
            place = _USER_LINE.search(text)
            where = f" at {place[1]}, line {place[2]} ({place[4].strip()})" if place else ""
            return (
                f"the model chooses its way by the values of its inputs{where}, and an ONNX graph is one for all; use "
                "torch.where, or torch.cond for whole branches"
            )
    return None


def _chain(error: BaseException) -> Sequence[BaseException]:
    chain = [error]
    while (below := chain[-1].__cause__ or chain[-1].__context__) is not None and below not in chain:
        chain.append(below)
    return chain
