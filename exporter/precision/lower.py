"""The story of a lower precision: candidates are tried, and the first that is accepted takes the model's place."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import onnx
import onnx_ir as ir

from exporter.arrays import Tensors
from exporter.errors import ExportError
from exporter.precision.convolutions import convolutions, write_static
from exporter.precision.evening import evened
from exporter.precision.files import MODEL, bytes_of, move, read, write
from exporter.precision.half import SENSITIVE, with_names, write_half
from exporter.precision.ladder import Step, climb, distinct, worst_first
from exporter.precision.rounded import write_rounded
from exporter.precision.rows import candidates, quantize_rows
from exporter.precision.sensitivity import losses, out_of_range, probed
from exporter.precision.weights import store_in_bfloat16
from exporter.target import LARGEST_INLINE_BYTES

Accept = Callable[[Path], object]
"""Looks at a candidate and raises ParityError if its answers are too far off."""
HEAVY = ("Conv", "ConvTranspose", "GRU", "Gather", "Gemm", "LSTM", "MatMul", "RNN")
"""The operators that hold the weights: the last that are still worth lowering."""


@dataclass(frozen=True)
class Lowered:
    """What became of a model: `kept_fp32` names what still computes in 32 bits, `original` is the 32-bit file."""

    kept_fp32: tuple[str, ...]
    original: Path


def lower(
    folder: Path, precision: str, accept: Accept, probes: Sequence[Tensors], calibration: Sequence[Tensors]
) -> Lowered:
    """Puts a model of lower precision in the place of `model.onnx` in the folder of a version.

    `accept` raises ParityError for a candidate that is too far from the source. `probes` are a few inputs on which is
    measured what has to stay 32-bit; `calibration` are the batches for convolutions in int8, and may be empty. Inputs
    and outputs keep their types. The 32-bit files are moved beside `folder`, into `fp32`, by renaming.

    Raises ParityError if nothing passes, ExportError if there is nothing to lower.
    """
    path, candidate = folder / MODEL, folder.parent / "candidate" / MODEL
    make = {"fp16": _half, "bf16": _bfloat16, "int8": _int8}[precision]
    try:
        kept = make(path, candidate, accept, probed(probes), calibration)
        before, after = bytes_of(path), bytes_of(candidate)
        if after >= before:
            raise ExportError(
                f"--precision {precision} does not make this model smaller ({before:,} bytes become {after:,}); "
                "use --precision fp32"
            )
        original = move(path, folder.parent / "fp32")
        move(candidate, folder)
    finally:
        shutil.rmtree(candidate.parent, ignore_errors=True)
    return Lowered(kept, original)


def _half(
    path: Path, to: Path, accept: Accept, probes: Sequence[Tensors], calibration: Sequence[Tensors]
) -> tuple[str, ...]:
    def attempt(step: Step) -> None:
        write_half(path, to, step.kept)
        accept(write_rounded(to))
        accept(to)

    return climb("fp16", distinct(_half_steps(path, probes)), attempt).told


def _half_steps(path: Path, probes: Sequence[Tensors]) -> Iterator[Step]:
    """Everything; all but what overflows; all but that and sensitive operators; only what holds the weights."""
    yield Step(frozenset(), ())
    model = onnx.shape_inference.infer_shapes(with_names(onnx.load(path, load_external_data=False)))
    floats = {
        value.name
        for value in (*model.graph.value_info, *model.graph.output)
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    nodes = [node for node in model.graph.node if floats & set(node.output)]
    overflow = out_of_range(path, probes)
    if overflow:
        yield Step(frozenset(overflow), tuple(sorted(overflow)))
    operators = {node.op_type for node in nodes}
    for lowered in (operators - set(SENSITIVE), operators & set(HEAVY)):
        kept = {node.name for node in nodes if node.op_type not in lowered}
        told = (*sorted(operators - lowered), *sorted(overflow - kept))
        yield Step(frozenset(kept | overflow), told)


def _bfloat16(
    path: Path, to: Path, accept: Accept, probes: Sequence[Tensors], calibration: Sequence[Tensors]
) -> tuple[str, ...]:
    model = read(path)
    operators = store_in_bfloat16(model)
    if not operators:
        raise ExportError("--precision bf16 stores large weights in 16 bits, and this model has none; use fp32")
    write(model, to)
    accept(to)
    return operators


def _int8(
    path: Path, to: Path, accept: Accept, probes: Sequence[Tensors], calibration: Sequence[Tensors]
) -> tuple[str, ...]:
    model = read(path)
    images, products = convolutions(model), candidates(model)
    nodes = [*products, *(images if calibration else ())]
    if not nodes:
        raise ExportError(_nothing(model, images))
    # Convolutions that nobody gave data for are no fault of their answers, but they are 32-bit all the same.
    uncalibrated = () if calibration else tuple(str(node.name) for node in images)

    factors = evened(path, products, probes)

    def attempt(step: Step) -> None:
        start = path
        if calibration and any(node.name not in step.kept for node in images):
            start = to.with_name("static.onnx")
            write_static(path, start, calibration, step.kept, is_large=bytes_of(path) > LARGEST_INLINE_BYTES)
        lowered = read(start)
        quantize_rows(lowered, step.kept, factors)
        write(lowered, to)
        accept(to)

    step = climb("int8", worst_first(partial(losses, path, nodes, probes)), attempt)
    return (*step.told, *uncalibrated)


def _nothing(model: ir.Model, images: Sequence[ir.Node]) -> str:
    if images:
        return (
            "--precision int8 needs --calibration for this model: all of its large weights are those of convolutions, "
            "and their ranges must be seen on real inputs"
        )
    holders = sorted({use.node.op_type for value in model.graph.initializers.values() for use in value.uses()})
    return (
        "--precision int8 lowers MatMul, Gemm, Gather and Conv with large constant weights, and this model has none "
        f"(its constants belong to {', '.join(holders) or 'nothing'}); use fp32, fp16 or bf16"
    )
