"""Prepares the rows of a chunk for all models of a job; a bad row becomes a rejected row here."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from ray_pipeline.chunk import CHUNK, INTERNAL, REASON, ROW, STAGE
from ray_pipeline.models import JobModel
from ray_pipeline.prepare.tensor import prepare_tensor
from ray_pipeline.prepare.text import prepare_text
from triton_models.card import TextPreparation


def prepared_column(model: JobModel, tensor: str) -> str:
    """The column that carries the prepared rows of one input of a model from the read task to the actor."""
    return f"{INTERNAL}{model.name}:{tensor}"


def prepare(table: pa.Table, models: Sequence[JobModel], keep: Sequence[str]) -> pa.Table:
    """Turns the columns that the models read into lists of numbers, one column for each tensor.

    Takes the columns of a source; gives CHUNK, ROW, STAGE, REASON, the kept columns and the prepared ones. A row that
    cannot be prepared has nulls there, and its reason.
    """
    reasons: list[str | None] = table[REASON].to_pylist()
    prepared: dict[str, pa.Array] = {}
    before = list(reasons)
    for model in models:
        if isinstance(model.preparation, TextPreparation):
            texts = table[model.columns["text"]]
            ids = prepare_text(texts, model.columns["text"], model.tokenizer, model.preparation, reasons)
            prepared[prepared_column(model, model.preparation.ids)] = ids
        else:
            for tensor in model.inputs:
                column = model.columns[tensor.name]
                prepared[prepared_column(model, tensor.name)] = prepare_tensor(table[column], column, tensor, reasons)
    stages = [
        "prepare" if old is None and new is not None else stage
        for old, new, stage in zip(before, reasons, table[STAGE].to_pylist(), strict=True)
    ]
    columns = {
        CHUNK: table[CHUNK],
        ROW: table[ROW],
        STAGE: pa.array(stages, pa.string()),
        REASON: pa.array(reasons, pa.string()),
        **{name: table[name] for name in keep},
        **prepared,
    }
    return pa.table(columns)
