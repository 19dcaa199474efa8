"""bfloat16 weights: stored in 16 bits, computed with in 32.

ONNX Runtime's processor kernels have no bfloat16 arithmetic (a MatMul of it does not even load), so a graph that
computes in it could not be proven here. Weights can be stored so: each is widened once, when the model is loaded. Files
are half as large, and speed and memory stay those of 32 bits.
"""

from __future__ import annotations

import ml_dtypes
import onnx_ir as ir

from exporter.precision.files import constant, forget_unused
from exporter.precision.rows import SMALLEST_WEIGHT


def store_in_bfloat16(model: ir.Model) -> tuple[str, ...]:
    """Rewrites the large weights, in place; returns the operators that compute with them, in 32 bits."""
    operators: set[str] = set()
    for value in list(model.graph.initializers.values()):
        found = constant(value)
        if found is None or found.size < SMALLEST_WEIGHT or value.is_graph_output():
            continue
        operators |= {use.node.op_type for use in value.uses()}
        name = f"{value.name}_bfloat16"
        stored = ir.Value(name=name, const_value=ir.tensor(found.numpy().astype(ml_dtypes.bfloat16), name=name))
        model.graph.register_initializer(stored)
        widened = ir.node("Cast", [stored], {"to": int(ir.DataType.FLOAT)})
        model.graph.insert_before(next(iter(model.graph)), widened)
        value.replace_all_uses_with(widened.outputs[0])
    forget_unused(model)
    return tuple(sorted(operators))
