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
PAIRS = tuple(zip(SENTENCES, (*SENTENCES[3:], *SENTENCES[:3]), strict=True))
"""Short texts with long ones, long with short ones, and a pair of which either is empty."""


@dataclass(frozen=True)
class Tokens:
    """One row: its token ids, and for each of them the text of the pair that it belongs to, 0 or 1."""

    ids: Sequence[int]
    types: Sequence[int]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class TextInputs:
    """Makes the inputs of a text model; `vocabulary` is how many token ids it knows."""

    tokenizer: Tokenizer
    preparation: TextPreparation
    vocabulary: int

    def sentences(self, rows: int) -> dict[str, Array]:
        """Real sentences, or pairs of them, padded to the longest."""
        known = self.tokenized()
        return self.padded([known[(row + 1) % len(known)] for row in range(rows)])

    def tokenized(self) -> list[Tokens]:
        """The tokens of the real sentences, without those of which a tokenizer leaves nothing."""
        known = self._tokens(PAIRS if self.preparation.pair else SENTENCES)
        return [row for row in known if len(row) > 0]

    def of_texts(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> dict[str, Array]:
        """These texts, each with its second one in `pairs` for a model that reads two, padded to the longest."""
        return self.padded(self._tokens(texts if pairs is None else list(zip(texts, pairs, strict=True))))

    def random(self, rows: int, tokens: int) -> dict[str, Array]:
        """Random token ids, the first row `tokens` long and the others of any length up to that."""
        random = np.random.default_rng((rows, tokens))
        lengths = [tokens, *(int(length) for length in random.integers(1, tokens + 1, rows - 1))]
        known = np.delete(np.arange(self.vocabulary), self.preparation.pad_id)
        found = []
        for length in lengths:
            first = int(random.integers(1, length + 1)) if self.preparation.pair else length
            found.append(Tokens(random.choice(known, length).tolist(), [0] * first + [1] * (length - first)))
        return self.padded(found)

    def padded(self, rows: Sequence[Tokens], to: int = 0) -> dict[str, Array]:
        """Rows of tokens side by side, all as long as the longest of them or as `to`."""
        length = max(to, 1, *map(len, rows))
        ids = np.full((len(rows), length), self.preparation.pad_id, np.int64)
        mask, types = np.zeros_like(ids), np.zeros_like(ids)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)] = tokens.ids
            mask[row, : len(tokens)] = 1
            types[row, : len(tokens)] = tokens.types
        inputs = {self.preparation.ids: ids, self.preparation.mask: mask, self.preparation.types: types}
        return {name: array for name, array in inputs.items() if name is not None}

    def _tokens(self, texts: Sequence[str] | Sequence[tuple[str, str]]) -> list[Tokens]:
        return [Tokens(one.ids, one.type_ids) for one in self.tokenizer.encode_batch(list(texts))]
