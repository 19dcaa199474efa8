"""Compares rows of the result with the same model run by PyTorch in this process."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
from sentence_transformers import SentenceTransformer
from transformers.utils.logging import disable_progress_bar


def worst_cosine(model: Path, texts: pa.Table, scored: pa.Table, rows: int) -> float:
    """The smallest cosine between the embedding of a row and PyTorch's, over `rows` rows chosen at random.

    `texts` has `id` and `body`, `scored` has `id` and `embedding`.
    """
    body_of = dict(zip(texts["id"].to_pylist(), texts["body"].to_pylist(), strict=True))
    chosen = random.sample(range(scored.num_rows), rows)
    ours = scored.take(chosen)
    embeddings = np.array(ours["embedding"].to_pylist(), np.float32)
    disable_progress_bar()  # type: ignore[no-untyped-call]
    reference = SentenceTransformer(str(model), device="cpu")
    theirs = reference.encode([body_of[row] for row in ours["id"].to_pylist()], normalize_embeddings=True)
    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(theirs, axis=1)
    return float(((embeddings * theirs).sum(axis=1) / lengths).min())
