"""Everything that is proven of a version before it is published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from exporter.exported import Exported
from exporter.proofs.asked import Asked, ask, batches_up_to, one_of_each
from exporter.proofs.determinism import is_deterministic
from exporter.proofs.given import given_cases
from exporter.proofs.padding import prove_padding
from exporter.proofs.parity import prove_parity
from exporter.proofs.rows_alone import prove_rows_alone
from exporter.proofs.served import served
from exporter.sources.base import Source
from exporter.spec import ExportSpec
from triton_models.card import Check, Preparation
from triton_models.server.runtime import Runtime

SMALL_BATCH = 7
"""Up to this many rows an export is asked twice, to see whether it answers the same."""


@dataclass(frozen=True)
class Proof:
    """The checks that an export passed, and what they say about how it may be used."""

    checks: tuple[Check, ...]
    preparation: Preparation
    is_deterministic: bool


def ask_source(spec: ExportSpec, source: Source) -> list[Asked]:
    """What the source answers to made up inputs and to those that the user gave. Raises SourceError."""
    asked = ask(source, source.cases(batches_up_to(spec.max_batch_size)))
    if spec.samples is not None:
        asked += ask(source, given_cases(spec.samples, source, spec.max_batch_size))
    return asked


def prove_file(spec: ExportSpec, source: Source, asked: Sequence[Asked], path: Path) -> Proof:
    """Parity, row independence, padding invariance and determinism of an ONNX file.

    Raises ParityError at the first answer that is further off than its limit.
    """
    exported, limits = Exported(path), spec.limits
    if not spec.unbatched:
        # Of the source first: one that mixes rows itself can have become a graph that does not.
        smallest = sorted((one for one in asked if one.case.batch > 1), key=lambda one: one.case.batch)[:1]
        prove_rows_alone(smallest, source.outputs, source.answers, limits)
    checks = prove_parity(asked, source.outputs, exported.answers, limits)
    if not spec.unbatched:
        checks += prove_rows_alone(one_of_each(asked), source.outputs, exported.answers, limits)
    preparation = source.preparation
    if source.texts is not None:
        preparation, padding = prove_padding(source.texts, source.outputs, exported, limits)
        checks += padding
    small = [one for one in one_of_each(asked) if one.case.batch <= SMALL_BATCH]
    return Proof(checks, preparation, is_deterministic(small, exported.answers))


def accept(spec: ExportSpec, source: Source, asked: Sequence[Asked], path: Path) -> None:
    """The gate for a candidate of a lower precision. Raises ParityError."""
    answer = Exported(path).answers
    prove_parity(asked, source.outputs, answer, spec.limits)
    if not spec.unbatched:
        prove_rows_alone(one_of_each(asked), source.outputs, answer, spec.limits)


def prove_served(
    spec: ExportSpec, source: Source, asked: Sequence[Asked], version: Path, config: ModelConfig, runtime: Runtime
) -> tuple[Check, ...]:
    """Parity once more, of what a real server answers over gRPC. Raises ExportError, ParityError."""
    with served(version, config, runtime) as answer:
        checks = prove_parity(one_of_each(asked), source.outputs, answer, spec.limits)
    return tuple(replace(check, name=f"served, {check.name}") for check in checks)
