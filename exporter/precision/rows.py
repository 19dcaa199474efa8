"""8-bit integers for matrix products and tables: every row of activations gets a range of its own.

The usual dynamic quantisation has one range for a whole batch, so that one long number in a stranger's row makes the
steps coarser for all. Here the range is found row by row while the model runs: the answer for a row depends neither on
its neighbours nor on its padding, and no calibration is needed. Weights have one range for each column, tables one for
each entry. The operators are part of ONNX Runtime since long before the oldest target; it runs them on processors only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from exporter.precision.files import constant, forget_unused, nodes_with_names

LEVELS = 127
"""Both signs have as many, so that no zero point is needed for tables and weights."""
WEIGHT_LEVELS = 64
"""Processors without instructions for just this (AVX2, and AVX-512 without VNNI) add two products of an activation and
a weight in 16 bits, and cut off what is larger: 2 * 255 * 64 is not.
"""
MIDDLE = 128
"""What zero is among the activations: unsigned bytes times signed ones is what processors multiply fastest."""
SMALLEST_WEIGHT = 4096
"""Weights of fewer elements stay as they are: the operators around them would weigh more than what is saved."""
TINY = 1e-20
"""A row of zeros must not divide by zero."""
AXES_ARE_AN_INPUT = 18
"""The opset since which a reduction takes its axes as an input."""
CONTRIB = "com.microsoft"


def candidates(model: ir.Model) -> list[ir.Node]:
    """The nodes that can compute with 8-bit integers, each with a name of its own."""
    return [node for node in nodes_with_names(model) if is_product(node) or _is_lookup(node)]


def quantize_rows(
    model: ir.Model, kept: Collection[str] = (), factors: Mapping[str, NDArray[np.float32]] | None = None
) -> int:
    """Rewrites every candidate whose name is not in `kept`, in place; returns how many there were.

    `factors`, by the name of activations, divide their columns and multiply the rows of the weights.
    """
    chosen = [node for node in candidates(model) if node.name not in kept]
    writer = _Writer(model, factors or {})
    for node in chosen:
        if _is_lookup(node):
            writer.look_up(node)
        else:
            writer.multiply(node)
    forget_unused(model)
    if writer.multiplied:
        model.graph.opset_imports.setdefault(CONTRIB, 1)
    return len(chosen)


def rounded(
    weight: NDArray[np.float32], axis: int, levels: int = LEVELS
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Signed bytes of at most `levels`, and their scales, one for each slice across `axis`.

    `weight` is nearly bytes * scales.
    """
    scales = np.abs(weight).max(axis=axis, keepdims=True) / np.float32(levels)
    scales[scales == 0] = 1
    return np.rint(weight / scales).astype(np.int8), scales.astype(np.float32)


def matrix_of(node: ir.Node) -> NDArray[np.float32]:
    """The weight of a product as [inputs, outputs]."""
    found = constant(node.inputs[1])
    assert found is not None
    matrix: NDArray[np.float32] = found.numpy()
    return matrix.T if node.op_type == "Gemm" and _integer(node, "transB", 0) else matrix


def is_product(node: ir.Node) -> bool:
    """Whether a node multiplies activations with a large constant matrix."""
    if node.domain or node.op_type not in ("MatMul", "Gemm") or not _is_large_matrix(node.inputs[1]):
        return False
    if constant(node.inputs[0]) is not None:
        return False
    return node.op_type == "MatMul" or (
        not _integer(node, "transA", 0) and _float(node, "alpha", 1.0) == 1.0 and _float(node, "beta", 1.0) == 1.0
    )


def _is_lookup(node: ir.Node) -> bool:
    return (
        not node.domain
        and node.op_type == "Gather"
        and _is_large_matrix(node.inputs[0])
        and _integer(node, "axis", 0) == 0
    )


def _is_large_matrix(value: ir.Value | None) -> bool:
    found = constant(value)
    return found is not None and len(found.shape) == 2 and found.size >= SMALLEST_WEIGHT


def _integer(node: ir.Node, name: str, default: int) -> int:
    attribute = node.attributes.get(name)
    return attribute.as_int() if attribute is not None else default


def _float(node: ir.Node, name: str, default: float) -> float:
    attribute = node.attributes.get(name)
    return attribute.as_float() if attribute is not None else default


@dataclass(frozen=True)
class _Row:
    """Activations as unsigned bytes, and what one step of each row is worth: [..., 1]."""

    codes: ir.Value
    steps: ir.Value


@dataclass
class _Writer:
    """Puts new operators in front of old ones; what two of them need alike is written once."""

    model: ir.Model
    factors: Mapping[str, NDArray[np.float32]]
    multiplied: int = 0
    _constants: dict[str, ir.Value] = field(default_factory=dict)
    _rows: dict[ir.Value, _Row] = field(default_factory=dict)

    def multiply(self, node: ir.Node) -> None:
        """A product with a constant matrix: quantise the rows, multiply bytes, scale back, add what Gemm adds."""
        activations, weight = node.inputs[0], node.inputs[1]
        assert activations is not None
        assert weight is not None
        row = self._rows.get(activations)
        if row is None:
            row = self._rows[activations] = self._quantized(activations, node)
        transposed = "_t" if node.op_type == "Gemm" and _integer(node, "transB", 0) else ""
        factors = self.factors.get(str(activations.name))
        name = f"{weight.name}{transposed}" + (f"_for_{activations.name}" if factors is not None else "")
        if f"{name}_int8" not in self._constants:
            matrix = matrix_of(node) if factors is None else matrix_of(node) * factors[:, None]
            codes, scales = rounded(matrix, axis=0, levels=WEIGHT_LEVELS)
            self._constant(f"{name}_int8", np.ascontiguousarray(codes))
            self._constant(f"{name}_scales", scales[0])
        product = self._before(
            node,
            "MatMulIntegerToFloat",
            row.codes,
            self._constants[f"{name}_int8"],
            self._constant("rows_one", np.float32(1)),
            self._constants[f"{name}_scales"],
            self._constant("rows_middle", np.uint8(MIDDLE)),
            domain=CONTRIB,
        )
        result = self._before(node, "Mul", product, row.steps)
        if len(node.inputs) > 2 and node.inputs[2] is not None:
            result = self._before(node, "Add", result, node.inputs[2])
        self.multiplied += 1
        _replace(node, result)

    def look_up(self, node: ir.Node) -> None:
        """Rows of a table: bytes and their scale are looked up, then multiplied."""
        table, chosen = node.inputs[0], node.inputs[1]
        assert table is not None
        assert chosen is not None
        if f"{table.name}_int8" not in self._constants:
            found = constant(table)
            assert found is not None
            codes, scales = rounded(found.numpy(), axis=1)
            self._constant(f"{table.name}_int8", codes)
            self._constant(f"{table.name}_scales", scales)
        codes_of = self._before(node, "Gather", self._constants[f"{table.name}_int8"], chosen)
        steps = self._before(node, "Gather", self._constants[f"{table.name}_scales"], chosen)
        numbers = self._before(node, "Cast", codes_of, attributes={"to": int(ir.DataType.FLOAT)})
        _replace(node, self._before(node, "Mul", numbers, steps))

    def _quantized(self, activations: ir.Value, node: ir.Node) -> _Row:
        factors = self.factors.get(str(activations.name))
        if factors is not None:
            inverse = self._constant(f"{activations.name}_evening", (1 / factors).astype(np.float32))
            activations = self._before(node, "Mul", activations, inverse)
        largest, smallest = (self._reduced(node, operator, activations) for operator in ("ReduceMax", "ReduceMin"))
        below = self._before(node, "Neg", smallest)
        reach = self._before(node, "Max", largest, below, self._constant("rows_tiny", np.float32(TINY)))
        inverse = self._before(node, "Div", self._constant("rows_levels", np.float32(LEVELS)), reach)
        steps = self._before(node, "Mul", reach, self._constant("rows_step", np.float32(1 / LEVELS)))
        scaled = self._before(node, "Mul", activations, inverse)
        codes = self._before(
            node,
            "QuantizeLinear",
            scaled,
            self._constant("rows_one", np.float32(1)),
            self._constant("rows_middle", np.uint8(MIDDLE)),
        )
        return _Row(codes, steps)

    def _reduced(self, node: ir.Node, operator: str, activations: ir.Value) -> ir.Value:
        """Over the last axis, which older opsets take as an attribute."""
        if self.model.graph.opset_imports.get("", 1) < AXES_ARE_AN_INPUT:
            return self._before(node, operator, activations, attributes={"axes": [-1]})
        last = self._constant("rows_last_axis", np.array([-1], np.int64))
        return self._before(node, operator, activations, last)

    def _before(
        self,
        node: ir.Node,
        operator: str,
        *inputs: ir.Value,
        domain: str = "",
        attributes: Mapping[str, int | list[int]] | None = None,
    ) -> ir.Value:
        new = ir.node(operator, inputs, attributes, domain=domain)
        self.model.graph.insert_before(node, new)
        return new.outputs[0]

    def _constant(self, name: str, array: NDArray[np.generic] | np.generic) -> ir.Value:
        if name not in self._constants:
            free = name
            while free in self.model.graph.initializers:
                free += "_"
            value = ir.Value(name=free, const_value=ir.tensor(np.asarray(array), name=free))
            self.model.graph.register_initializer(value)
            self._constants[name] = value
        return self._constants[name]


def _replace(node: ir.Node, result: ir.Value) -> None:
    """The new value takes the place and the name of the old node's output."""
    old = node.outputs[0]
    result.name, result.shape, result.type = old.name, old.shape, old.type
    old.name = None
    old.replace_all_uses_with(result, replace_graph_outputs=True)
    graph = node.graph
    assert graph is not None
    graph.remove(node, safe=True)
