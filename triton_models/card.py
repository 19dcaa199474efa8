"""The card of a version: everything that is needed to use its model, beside the model."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Literal

from triton_models.errors import CardError, ConfigError
from triton_models.inside import is_inside
from triton_models.tensors import TensorSpec
from triton_models.typed_json import loads, reader_of

CARD_FORMAT = 1
"""Raised when an older release would misread a newer card."""


@dataclass(frozen=True)
class TextPreparation:
    """One text, or a pair of them, becomes token tensors, with the tokenizer that the version carries.

    `tokenizer` is a path relative to the version folder. `max_tokens` counts special tokens too; longer texts are cut,
    of a pair the longer one first. `ids`, `mask` and `types` name the inputs of the model; one without a mask or
    without token types has None there. `padding_free` says that the proof ran: how far a row was padded does not change
    its answer. `pair` is true for models that read two texts at once, such as cross-encoders.
    """

    tokenizer: str
    max_tokens: int
    pad_id: int
    ids: str
    mask: str | None
    types: str | None
    padding_free: bool
    pair: bool = False
    kind: Literal["text"] = "text"


@dataclass(frozen=True)
class ImagePreparation:
    """One encoded image becomes the pixels of one row: UINT8 [height, width, channels], as a decoder gives them.

    Decode, convert to `channels` (Pillow's mode, `RGB` or `L`), resize, crop. With `shortest_edge` the image is scaled
    until its shorter side has that many pixels and `height` x `width` are cut from its middle; without, it is scaled to
    `height` x `width` whatever its proportions. `resample` is Pillow's name of the filter, such as `bilinear`.
    Everything behind that (cast, scale, normalisation, layout) is inside the graph. `input` names the model's input.
    """

    input: str
    height: int
    width: int
    shortest_edge: int | None = None
    resample: str = "bilinear"
    channels: Literal["RGB", "L"] = "RGB"
    kind: Literal["image"] = "image"


@dataclass(frozen=True)
class TensorPreparation:
    """Columns go to the model as they are, one column for each input."""

    kind: Literal["tensor"] = "tensor"


Preparation = TextPreparation | ImagePreparation | TensorPreparation


@dataclass(frozen=True)
class Check:
    """One comparison of the exported model with its source that was run before publishing, and its figures.

    `max_abs` is the largest absolute difference, `max_rel` the largest relative one over elements that are not tiny,
    `cosine` the smallest cosine over the rows (1.0 = the same direction), `limit` the largest `max_abs` that would have
    passed.
    """

    name: str
    output: str
    batch: int
    max_abs: float
    max_rel: float
    cosine: float
    limit: float

    @property
    def strain(self) -> float:
        """How much of the limit is used up; above 1 it is passed."""
        return self.max_abs / self.limit if self.limit else self.max_abs and math.inf


@dataclass(frozen=True)
class Figures:
    """What one precision of a model weighs, how fast it is and how near to the source it stays, all seen in one run.

    `bytes` is the size of the model's files, `rows_per_s` was measured on the machine of the export, `cosine` is the
    smallest over all rows that were compared with the source.
    """

    precision: str
    bytes: int
    rows_per_s: float
    cosine: float


@dataclass(frozen=True)
class Precision:
    """The precision of a model's arithmetic: `fp32`, `fp16`, `bf16` or `int8`.

    `kept_fp32` names the operators that stayed 32-bit because the answers needed it. `figures` has `fp32` and the
    precision that was chosen side by side; it is empty for a model that was left as it is.
    """

    name: str = "fp32"
    kept_fp32: tuple[str, ...] = ()
    figures: tuple[Figures, ...] = ()


@dataclass(frozen=True)
class Card:
    """`card.json`: a version's tensors, its preparation, the checks it passed, checksums, tool versions.

    `max_batch_size` is 0 for a model whose requests are never put together with others: its answers are about the whole
    request. `labels` are the names of the classes in the order of the last axis of `logits`. `deterministic` says that
    the same input gave the same bytes twice. `target` is the oldest Triton release that reads the model. `files` maps
    each path of the version folder (the card itself left out) to its SHA-256 in hex. `created` is UTC in ISO 8601.
    `name` and `version` are set on publishing. `copy_of` is the older version that a roll-back published again, 0 where
    the version is new.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int
    preparation: Preparation
    source: str
    checks: tuple[Check, ...] = ()
    precision: Precision = Precision()
    labels: tuple[str, ...] = ()
    deterministic: bool = False
    target: str = ""
    tools: dict[str, str] = field(default_factory=dict)
    name: str = ""
    version: int = 0
    copy_of: int = 0
    created: str = ""
    files: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        files = [*self.files]
        if isinstance(self.preparation, TextPreparation):
            files.append(self.preparation.tokenizer)
        for file in files:
            if not is_inside(file):
                raise CardError(f"the card names the file {file!r}, which is outside its version; export it again")

    @property
    def columns(self) -> tuple[str, ...]:
        """What a job must name a column for: `text` (and `text_pair`), `image`, or every input of the model."""
        if isinstance(self.preparation, TextPreparation):
            return ("text", "text_pair") if self.preparation.pair else ("text",)
        if isinstance(self.preparation, ImagePreparation):
            return ("image",)
        return tuple(tensor.name for tensor in self.inputs)

    def to_json(self) -> str:
        """The card as it is written to `card.json`."""
        return json.dumps({"format": CARD_FORMAT, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str) -> Card:
        """Reads what `to_json` wrote; `where` names the file in errors. Raises CardError."""
        try:
            found = loads(text)
            is_ours = found.pop("format") == CARD_FORMAT
            if is_ours:
                return _READ(found)
        except (ValueError, KeyError, TypeError, AttributeError, ConfigError, CardError) as error:
            raise CardError(f"{where} is not a card of a model version ({error}); export the model again") from error
        raise CardError(f"{where} was written by a newer Rayton; upgrade Rayton or export the model again")


_READ = reader_of(Card)
