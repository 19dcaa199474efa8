"""Guards that PyTorch writes behind the softmax of an attention go where they can never act.

PyTorch puts `Where(IsNaN(softmax), 0, softmax)` there for rows whose every place is masked with minus infinity. With a
finite mask, or none, a softmax has no such rows, and the two operators cost a sixth of a small transformer's time.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir


def drop_idle_guards(model: ir.Model) -> int:
    """Takes out every guard whose softmax sees finite masks only, in place; returns how many there were."""
    guards = [node for node in model.graph if _guarded(node) is not None]
    for node in guards:
        softmax = _guarded(node)
        assert softmax is not None
        old = node.outputs[0]
        test = node.inputs[0]
        assert test is not None
        checked = test.producer()
        assert checked is not None
        old.replace_all_uses_with(softmax)
        model.graph.remove(node, safe=True)
        if not test.uses() and not test.is_graph_output():
            model.graph.remove(checked, safe=True)
    return len(guards)


def _guarded(node: ir.Node) -> ir.Value | None:
    """The softmax behind which `node` is an idle guard, None if it is something else."""
    if node.op_type != "Where" or node.domain or node.outputs[0].is_graph_output():
        return None
    test, replacement, softmax = node.inputs
    checked = test.producer() if test is not None else None
    if softmax is None or checked is None or checked.op_type != "IsNaN" or checked.inputs[0] is not softmax:
        return None
    producer = softmax.producer()
    if producer is None or producer.op_type != "Softmax" or not _is_constant(replacement, 0):
        return None
    return softmax if _is_finite_score(producer.inputs[0]) else None


def _is_finite_score(value: ir.Value | None) -> bool:
    """Whether these are products of vectors, with at most one finite mask added: two of them may reach infinity."""
    if _is_product(value):
        return True
    producer = value.producer() if value is not None else None
    if producer is None or producer.op_type != "Add":
        return False
    left, right = producer.inputs
    return (_is_product(left) and _is_finite_mask(right)) or (_is_product(right) and _is_finite_mask(left))


def _is_product(value: ir.Value | None) -> bool:
    producer = value.producer() if value is not None else None
    if producer is None:
        return False
    if producer.op_type in ("Mul", "Div"):
        return _is_product(producer.inputs[0]) and _is_constant(producer.inputs[1])
    return producer.op_type == "MatMul"


def _is_finite_mask(value: ir.Value | None) -> bool:
    if _is_constant(value):
        return True
    producer = value.producer() if value is not None else None
    return producer is not None and producer.op_type == "Where" and all(map(_is_constant, producer.inputs[1:]))


def _is_constant(value: ir.Value | None, wanted: float | None = None) -> bool:
    """Whether a value is known, finite and, if one is wanted, that one everywhere."""
    if value is None or value.const_value is None:
        return False
    found = value.const_value.numpy()
    return bool(np.isfinite(found).all() and (wanted is None or (found == wanted).all()))
