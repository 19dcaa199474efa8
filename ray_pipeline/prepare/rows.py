"""Prepares the rows of a chunk for all models of a job; a bad row becomes a rejected row here."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from ray_pipeline.chunk import CHUNK, INTERNAL, PART, ROW, STAGE
from ray_pipeline.models import JobModel
from ray_pipeline.prepare.image import prepare_images
from ray_pipeline.prepare.tensor import prepare_tensor
from ray_pipeline.prepare.text import prepare_texts
from ray_pipeline.rejection import Rejections, rejection_columns, rejections_of, staged
from triton_models.card import ImagePreparation, TextPreparation


def prepared_column(model: JobModel, tensor: str) -> str:
    """The column that carries the prepared rows of one input of a model from the read task to the actor."""
    return f"{INTERNAL}{model.name}:{tensor}"


def prepare(table: pa.Table, models: Sequence[JobModel], keep: Sequence[str]) -> pa.Table:
    """Turns the columns that the models read into numbers: a column for each tensor that no other one tells.

    Takes the columns of a source; gives CHUNK, PART, ROW, STAGE, ERROR, REASON, the kept columns and the prepared ones.
    A row that cannot be prepared has nulls there, and its rejection.
    """
    rejections = rejections_of(table)
    prepared: dict[str, pa.Array] = {}
    for model in models:
        prepared.update(prepared_columns(table, model, rejections))
    columns = {
        CHUNK: table[CHUNK],
        PART: table[PART],
        ROW: table[ROW],
        **rejection_columns(rejections, staged(rejections, table[STAGE].to_pylist(), "prepare")),
        **{name: table[name] for name in keep},
        **prepared,
    }
    return pa.table(columns)


def prepared_columns(table: pa.Table, model: JobModel, rejections: Rejections) -> dict[str, pa.Array]:
    """What one model reads as numbers, in the columns that carry it.

    A row that is rejected already, or cannot be prepared, is null; `rejections` says why.
    """
    rows_of = _prepared(table, model, rejections)
    return {prepared_column(model, tensor): rows for tensor, rows in rows_of.items()}


def _prepared(table: pa.Table, model: JobModel, rejections: Rejections) -> dict[str, pa.Array]:
    """The rows of one model by the names of its inputs."""
    preparation = model.preparation
    if isinstance(preparation, TextPreparation):
        return prepare_texts(table, model.columns, model.tokenizer, preparation, rejections, truncate=model.truncate)
    if isinstance(preparation, ImagePreparation):
        column = model.columns["image"]
        return {preparation.input: prepare_images(table[column], column, preparation, rejections)}
    return {
        tensor.name: prepare_tensor(table[model.columns[tensor.name]], model.columns[tensor.name], tensor, rejections)
        for tensor in model.inputs
    }
