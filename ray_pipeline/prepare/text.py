"""Text: tokenized with the tokenizer that the model's version carries."""

from __future__ import annotations

from functools import lru_cache

import pyarrow as pa
from tokenizers import Tokenizer

from triton_models.card import TextPreparation


def prepare_text(
    texts: pa.ChunkedArray, column: str, tokenizer: str, preparation: TextPreparation, reasons: list[str | None]
) -> pa.Array:
    """The token ids of each text: `list<int32>`, special tokens in it, no padding, at most `max_tokens` long.

    A row that has a reason already, or is null or not valid UTF-8, is null; `reasons` says why.
    """
    good: list[str] = []
    rows: list[int] = []
    for row, text in enumerate(_decoded(texts)):
        if reasons[row] is not None:
            continue
        if text is None:
            reasons[row] = f"column {column!r}: null is not text"
        elif isinstance(text, bytes):
            reasons[row] = f"column {column!r}: the text is not valid UTF-8"
        else:
            good.append(text)
            rows.append(row)
    encodings = _tokenizer(tokenizer, preparation.max_tokens).encode_batch_fast(good)
    ids: list[list[int] | None] = [None] * len(reasons)
    for row, encoding in zip(rows, encodings, strict=True):
        ids[row] = encoding.ids
    return pa.array(ids, pa.list_(pa.int32()))


def _decoded(texts: pa.ChunkedArray) -> list[str | bytes | None]:
    """The texts; bytes where they are not valid UTF-8."""
    plain = texts.cast(pa.string())
    try:
        return list(plain.to_pylist())
    except UnicodeDecodeError:
        return [_decode(value) for value in plain.cast(pa.binary()).to_pylist()]


def _decode(value: bytes | None) -> str | bytes | None:
    try:
        return value.decode() if value is not None else None
    except UnicodeDecodeError:
        return value


@lru_cache(maxsize=4)
def _tokenizer(tokenizer: str, max_tokens: int) -> Tokenizer:
    found = Tokenizer.from_str(tokenizer)
    found.no_padding()
    found.enable_truncation(max_tokens)
    return found
