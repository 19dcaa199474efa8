"""8-bit convolutions, by ONNX Runtime's static quantisation: the range of every tensor is seen on calibration data.

Ranges that are found while the model runs would need ConvInteger, which is slower than 32 bits on most processors.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import onnx_ir as ir

from exporter.arrays import Array, Tensors
from exporter.chatter import captured
from exporter.precision.files import constant, nodes_with_names
from exporter.precision.rows import SMALLEST_WEIGHT

OPERATORS = ("Conv", "Relu", "Clip", "MaxPool")
"""What stands behind a convolution can stay among the bytes; sums and products of activations stay 32-bit."""


def convolutions(model: ir.Model) -> list[ir.Node]:
    """The convolutions with constant weights of some size, each with a name of its own."""
    found = []
    for node in nodes_with_names(model):
        weight = constant(node.inputs[1]) if node.op_type == "Conv" and not node.domain else None
        if weight is not None and weight.size >= SMALLEST_WEIGHT:
            found.append(node)
    return found


def write_static(
    path: Path, to: Path, calibration: Sequence[Tensors], kept: Collection[str], *, is_large: bool = False
) -> None:
    """Writes the model of `path` with 8-bit convolutions to `to`, except those named in `kept`."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    to.parent.mkdir(parents=True, exist_ok=True)
    with captured():
        quantize_static(
            path,
            to,
            _Reader(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(OPERATORS),
            nodes_to_exclude=sorted(kept),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,  # for the same processors for which there are WEIGHT_LEVELS
            use_external_data_format=is_large,
        )


class _Reader:
    """Gives one batch of inputs after the other, and None at the end."""

    def __init__(self, batches: Sequence[Tensors]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, Array] | None:
        """The next batch."""
        batch = next(self._batches, None)
        return dict(batch) if batch is not None else None
