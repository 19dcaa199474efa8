"""The card of a version: everything that is needed to use its model, beside the model."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from triton_models.errors import CardError, ConfigError
from triton_models.tensors import TensorSpec

CARD_FORMAT = 1
"""Raised when an older release would misread a newer card."""


@dataclass(frozen=True)
class TextPreparation:
    """One text becomes token tensors, with the tokenizer that the version carries.

    `tokenizer` is a path relative to the version folder. `max_tokens` counts special tokens too; longer texts are cut.
    The last three name the inputs of the model; a model without a mask or without token types has None there.
    `padding_free` says that the proof ran: how far a row was padded does not change its answer.
    """

    tokenizer: str
    max_tokens: int
    pad_id: int
    ids: str
    mask: str | None
    types: str | None
    padding_free: bool
    kind: Literal["text"] = "text"


@dataclass(frozen=True)
class TensorPreparation:
    """Columns go to the model as they are, one column for each input."""

    kind: Literal["tensor"] = "tensor"


Preparation = TextPreparation | TensorPreparation


@dataclass(frozen=True)
class Check:
    """One comparison of the exported model with its source that was run before publishing, and its figures.

    `max_abs` is the largest absolute difference, `cosine` the smallest cosine over the rows (1.0 = the same direction),
    `limit` the largest `max_abs` that would have passed.
    """

    name: str
    output: str
    batch: int
    max_abs: float
    cosine: float
    limit: float


@dataclass(frozen=True)
class Card:
    """`card.json`: a version's tensors, its preparation, the checks it passed, checksums, tool versions.

    `max_batch_size` is 0 for a model without a batch axis. `files` maps each path of the version folder (the card
    itself left out) to its SHA-256 in hex. `created` is UTC in ISO 8601. `name` and `version` are set on publishing.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int
    preparation: Preparation
    source: str
    checks: tuple[Check, ...] = ()
    tools: dict[str, str] = field(default_factory=dict)
    name: str = ""
    version: int = 0
    created: str = ""
    files: dict[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """What a job must name a column for: `text`, or every input of the model."""
        if isinstance(self.preparation, TextPreparation):
            return ("text",)
        return tuple(tensor.name for tensor in self.inputs)

    def to_json(self) -> str:
        """The card as it is written to `card.json`."""
        return json.dumps({"format": CARD_FORMAT, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str) -> Card:
        """Reads what `to_json` wrote; `where` names the file in errors. Raises CardError."""
        try:
            found = json.loads(text)
            if found.pop("format") != CARD_FORMAT:
                raise CardError(f"{where} was written by a newer Rayton; upgrade Rayton or export the model again")
            return cls(
                inputs=_tensors(found.pop("inputs")),
                outputs=_tensors(found.pop("outputs")),
                preparation=_preparation(found.pop("preparation")),
                checks=tuple(Check(**check) for check in found.pop("checks")),
                **found,
            )
        except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
            raise CardError(f"{where} is not a card of a model version ({error}); export the model again") from error


def _tensors(found: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(one["name"], one["dtype"], tuple(one["shape"])) for one in found)


def _preparation(found: dict[str, Any]) -> Preparation:
    kinds: dict[str, type[TextPreparation] | type[TensorPreparation]] = {
        "text": TextPreparation,
        "tensor": TensorPreparation,
    }
    return kinds[found["kind"]](**found)
