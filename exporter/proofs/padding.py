"""The proof that a text's answer does not depend on how far its row was padded."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from exporter.arrays import Array, Tensors
from exporter.exported import Exported
from exporter.limits import Limits
from exporter.preprocess import TextInputs
from exporter.proofs.compare import measured, passes, worst_of_each
from triton_models.card import Check, TextPreparation
from triton_models.tensors import TensorSpec

FURTHER = 23
"""How many tokens a row is padded beyond its own."""


def prove_padding(
    texts: TextInputs, outputs: Sequence[TensorSpec], exported: Exported, limits: Limits
) -> tuple[TextPreparation, tuple[Check, ...]]:
    """Asks for real sentences as they are and padded further, and says in the preparation whether that was the same.

    A model that answers otherwise can still be published: its callers must then pad every text alike.
    """
    longest = texts.preparation.max_tokens
    rows = [tokens for tokens in texts.tokenized() if len(tokens) < longest]
    if not rows:
        return texts.preparation, ()
    plain = [exported.answers(texts.padded([tokens])) for tokens in rows]
    padded = [exported.answers(texts.padded([tokens], to=min(longest, len(tokens) + FURTHER))) for tokens in rows]
    checks: list[Check] = []
    for spec in outputs:
        pairs = [
            (_cut(spec, alone, len(tokens)), _cut(spec, further, len(tokens)))
            for alone, further, tokens in zip(plain, padded, rows, strict=True)
        ]
        found = [measured("padded further", spec, *pair, limits, 1) for pair in pairs]
        checks += worst_of_each(found)
    free = texts.preparation.mask is not None and all(passes(check, limits) for check in checks)
    return dataclasses.replace(texts.preparation, padding_free=free), tuple(checks)


def _cut(spec: TensorSpec, answers: Tensors, tokens: int) -> Array:
    """The answer without what it says about the padding itself, for outputs that have an axis of tokens."""
    found = answers[spec.name]
    return found[(slice(None), *(slice(tokens) if size == -1 else slice(None) for size in spec.shape))]
