"""Texts become token tensors, as they will for every caller of the published model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from exporter.arrays import Array
from triton_models.card import TextPreparation

SENTENCES = (
    "Yes.",
    "The quick brown fox jumps over the lazy dog.",
    "Wie wird das Wetter morgen in Zürich?",
    "def add(a, b):\n    return a + b  # adds two numbers",
    "東京は今日も雨です。",
    "In 2019 the museum sold 1,204,311 tickets, which was 12.5% more than in the year before and the most since 1998.",
    "",
    "A long sentence, written so that the rows of one batch differ in length by a lot, goes on about trains that leave "
    "late, stations whose clocks disagree, passengers who know every delay by heart, and a timetable that nobody "
    "believes but everybody reads, because reading it is what one does while waiting.",
)
"""Rows of very different lengths, one of them empty."""


@dataclass(frozen=True)
class TextInputs:
    """Makes the inputs of a text model; `vocabulary` is how many token ids it knows."""

    tokenizer: Tokenizer
    preparation: TextPreparation
    vocabulary: int

    def sentences(self, rows: int) -> dict[str, Array]:
        """Real sentences, padded to the longest of them."""
        known = self.tokenized()
        return self.padded([known[(row + 1) % len(known)] for row in range(rows)])

    def tokenized(self) -> list[list[int]]:
        """The token ids of the real sentences, without those of which a tokenizer leaves nothing."""
        return [encoding.ids for encoding in self.tokenizer.encode_batch(list(SENTENCES)) if encoding.ids]

    def random(self, rows: int, tokens: int) -> dict[str, Array]:
        """Random token ids, the first row `tokens` long and the others of any length up to that."""
        random = np.random.default_rng((rows, tokens))
        lengths = [tokens, *(int(length) for length in random.integers(1, tokens + 1, rows - 1))]
        known = np.delete(np.arange(self.vocabulary), self.preparation.pad_id)
        return self.padded([random.choice(known, length).tolist() for length in lengths])

    def padded(self, rows: Sequence[Sequence[int]], to: int = 0) -> dict[str, Array]:
        """Rows of token ids side by side, all as long as the longest of them or as `to`."""
        length = max(to, 1, *map(len, rows))
        ids = np.full((len(rows), length), self.preparation.pad_id, np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        inputs = {self.preparation.ids: ids, self.preparation.mask: mask, self.preparation.types: np.zeros_like(ids)}
        return {name: array for name, array in inputs.items() if name is not None}
