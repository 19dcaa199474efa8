"""Text: tokenized with the tokenizer that the model's version carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import pyarrow as pa
from tokenizers import Encoding, Tokenizer

from ray_pipeline.rejection import Rejection, Rejections
from triton_models.card import TextPreparation


def prepare_texts(
    table: pa.Table,
    columns: Mapping[str, str],
    tokenizer: str,
    preparation: TextPreparation,
    rejections: Rejections,
    *,
    truncate: bool = True,
) -> dict[str, pa.Array]:
    """The tokens of each text, or pair of texts, special ones in them, no padding, at most `max_tokens` long.

    `columns` names the columns of `text` and, for pairs, `text_pair`. Gives token ids, `list<int32>`, by the name of
    their input, and for pairs the token types, `list<int8>`, if the model takes any; those of single texts are all 0.
    A row that is rejected already, or holds a null or what is not valid UTF-8, is null; `rejections` says why. One that
    is too long is cut, or else, without `truncate`, rejected too.
    """
    keys = ("text", "text_pair") if preparation.pair else ("text",)
    texts = [_texts(table[columns[key]], columns[key], rejections) for key in keys]
    rows = [row for row, rejection in enumerate(rejections) if rejection is None]
    good = [tuple(column[row] for column in texts) for row in rows]
    tokens = _tokenizer(tokenizer, preparation.max_tokens if truncate else None)
    encodings = tokens.encode_batch_fast(good if preparation.pair else [text for (text,) in good])
    encoded: list[Encoding | None] = [None] * len(rejections)
    for row, encoding in zip(rows, encodings, strict=True):
        if len(encoding) > preparation.max_tokens:
            rejections[row] = _too_long([columns[key] for key in keys], len(encoding), preparation.max_tokens)
        else:
            encoded[row] = encoding
    ids = [one and one.ids for one in encoded]
    prepared = {preparation.ids: pa.array(ids, pa.list_(pa.int32()))}
    if preparation.pair and preparation.types is not None:
        types = [one and one.type_ids for one in encoded]
        prepared[preparation.types] = pa.array(types, pa.list_(pa.int8()))
    return prepared


def _too_long(columns: Sequence[str], tokens: int, most: int) -> Rejection:
    where = " and ".join(repr(column) for column in columns)
    return Rejection(
        "TooManyTokens",
        f"column{'s' if len(columns) > 1 else ''} {where}: {tokens:,} tokens are more than the {most:,} that the model "
        "reads; with `truncate` they would be cut",
    )


def _texts(texts: pa.ChunkedArray, column: str, rejections: Rejections) -> list[str]:
    """The texts; empty where a row is rejected."""
    found = []
    for row, text in enumerate(_decoded(texts)):
        if rejections[row] is None and text is None:
            rejections[row] = Rejection("NullValue", f"column {column!r}: null is not text")
        elif rejections[row] is None and isinstance(text, bytes):
            rejections[row] = Rejection("NotUtf8", f"column {column!r}: the text is not valid UTF-8")
        found.append(text if isinstance(text, str) else "")
    return found


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
def _tokenizer(tokenizer: str, max_tokens: int | None) -> Tokenizer:
    """It cuts what has more tokens; with None it cuts nothing, whatever its file says."""
    found = Tokenizer.from_str(tokenizer)
    found.no_padding()
    if max_tokens is None:
        found.no_truncation()
    else:
        found.enable_truncation(max_tokens)
    return found
