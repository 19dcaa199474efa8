"""In which fields two configs, or the cards of two versions, differ. Pure: nothing here touches a disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict
from tritonclient.grpc.model_config_pb2 import ModelConfig

from triton_models.card import Card


@dataclass(frozen=True)
class Difference:
    """A field that two things have different values in; one that is not there has None on its side."""

    field: str
    old: str | None
    new: str | None


def config_differences(kept: ModelConfig, asked: ModelConfig) -> list[str]:
    """What a config says otherwise than the one that was asked for, such as `instance_group[0].count 1 instead of 2`.

    Compares every field. Empty if they are equal.
    """
    found = compare(_as_data(kept), _as_data(asked))
    return [f"{one.field} {one.old or 'not set'} instead of {one.new or 'not set'}" for one in found]


def card_differences(old: Card, new: Card) -> list[Difference]:
    """In what two versions differ: tensors, preparation, precision, worst figures of checks, tools, labels, files."""
    return compare(_summary(old), _summary(new))


def compare(old: Any, new: Any, field: str = "") -> list[Difference]:
    """The innermost fields in which two trees of mappings and lists differ, by their paths.

    What only one of them has is one difference, however much lies below it.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names = [*old, *(name for name in new if name not in old)]
        below = [(f"{field}.{name}" if field else str(name), old.get(name), new.get(name)) for name in names]
    elif _is_list(old) and _is_list(new):
        padded = [[*side, *[None] * (max(len(old), len(new)) - len(side))] for side in (old, new)]
        below = [(f"{field}[{index}]", *pair) for index, pair in enumerate(zip(*padded, strict=True))]
    else:
        return [] if old == new else [Difference(field, _text(old), _text(new))]
    return [found for path, one, other in below for found in compare(one, other, path)]


def _as_data(config: ModelConfig) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(config, preserving_proto_field_name=True)
    return found


def _summary(card: Card) -> dict[str, Any]:
    worst: dict[str, dict[str, float]] = {}
    for check in card.checks:
        figures = worst.setdefault(f"{check.name} of {check.output}", {"max_abs": 0.0, "max_rel": 0.0, "cosine": 1.0})
        figures["max_abs"] = max(figures["max_abs"], check.max_abs)
        figures["max_rel"] = max(figures["max_rel"], check.max_rel)
        figures["cosine"] = min(figures["cosine"], check.cosine)
    return {
        "source": card.source,
        "copy_of": card.copy_of or None,
        "inputs": {tensor.name: str(tensor).removeprefix(f"{tensor.name} ") for tensor in card.inputs},
        "outputs": {tensor.name: str(tensor).removeprefix(f"{tensor.name} ") for tensor in card.outputs},
        "max_batch_size": card.max_batch_size,
        "preparation": asdict(card.preparation),
        "precision": {
            "name": card.precision.name,
            "kept_fp32": card.precision.kept_fp32,
            "figures": {one.precision: asdict(one) for one in card.precision.figures},
        },
        "labels": card.labels,
        "deterministic": card.deterministic,
        "target": card.target,
        "checks": worst,
        "tools": card.tools,
        "files": {path: f"SHA-256 {checksum[:12]}" for path, checksum in card.files.items()},
    }


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 0.1 else f"{value:.7g}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_text(one)}" for name, one in value.items()) + "}"
    if _is_list(value):
        return "[" + ", ".join(_text(one) or "none" for one in value) + "]"
    return str(value)
