"""The prepared rows of a chunk as a model's inputs: which rows go together, and their tensors."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pyarrow as pa

from ray_pipeline.models import JobModel
from ray_pipeline.prepare.rows import prepared_column
from ray_pipeline.scoring.batches import TOKENS_PER_BATCH, cut
from ray_pipeline.scoring.codec import RowLists, Rows, batch_of, follow_each_other, in_one_piece
from ray_pipeline.transport.base import Tensors
from triton_models.card import ImagePreparation, TextPreparation


class Inputs(Protocol):
    """The good rows of a chunk, numbered from 0."""

    def batches(self) -> list[Rows]:
        """The rows of each request; every row is in exactly one."""
        ...

    def tensors(self, rows: Rows) -> Tensors:
        """The inputs of the model for some rows, the batch on their first axis."""
        ...


def inputs_of(model: JobModel, table: pa.Table) -> Inputs:
    """The inputs of a model from its prepared columns, which hold no nulls."""
    if isinstance(model.preparation, TextPreparation):
        return TextInputs(model, model.preparation, table)
    if isinstance(model.preparation, ImagePreparation):
        return ImageInputs(model, model.preparation, table)
    return TensorInputs(model, table)


class TextInputs:
    """Token ids of different lengths; a batch is padded to its longest where that changes no answer."""

    def __init__(self, model: JobModel, preparation: TextPreparation, table: pa.Table) -> None:
        self._model, self._preparation = model, preparation
        self._ids = RowLists.of(table[prepared_column(model, preparation.ids)])
        types = preparation.types if preparation.pair else None
        self._types = RowLists.of(table[prepared_column(model, types)]) if types is not None else None

    def batches(self) -> list[Rows]:
        """Cut by tokens, so that short texts do not wait for long ones."""
        # An output that is as long as its text would come back as long as the longest text of its batch.
        padding = self._preparation.padding_free and all(tensor.is_fixed for tensor in self._model.wanted)
        return cut(self._ids.lengths, self._model.most_rows, TOKENS_PER_BATCH, padding=padding)

    def tensors(self, rows: Rows) -> Tensors:
        """Ids padded at their end, a mask that is 1 on tokens, and token types, all 0 but for the second of a pair."""
        ids = self._ids.stacked(rows, self._preparation.pad_id)
        stacked = {
            self._preparation.ids: ids,
            self._preparation.mask: np.arange(ids.shape[1]) < self._ids.lengths[rows, None],
            self._preparation.types: self._types.stacked(rows) if self._types is not None else np.zeros_like(ids),
        }
        return {tensor.name: batch_of(tensor, stacked[tensor.name]) for tensor in self._model.inputs}


class ImageInputs:
    """Pixels; all rows have one shape."""

    def __init__(self, model: JobModel, preparation: ImagePreparation, table: pa.Table) -> None:
        self._model = model
        array = in_one_piece(table[prepared_column(model, preparation.input)])
        size = array.type.byte_width
        flat = np.frombuffer(array.buffers()[1] or b"", np.uint8, len(array) * size, array.offset * size)
        self._rows = flat.reshape(len(array), size)

    def batches(self) -> list[Rows]:
        """Cut by rows."""
        return cut(np.zeros(len(self._rows), np.int64), self._model.most_rows, None, padding=False)

    def tensors(self, rows: Rows) -> Tensors:
        """The pixels in the shape that the card says."""
        (tensor,) = self._model.inputs
        picked = self._rows[rows[0] : rows[-1] + 1] if follow_each_other(rows) else self._rows[rows]
        return {tensor.name: batch_of(tensor, picked)}


class TensorInputs:
    """Numbers as they are; the rows of a batch have the same shapes."""

    def __init__(self, model: JobModel, table: pa.Table) -> None:
        self._model = model
        self._lists = {tensor.name: RowLists.of(table[prepared_column(model, tensor.name)]) for tensor in model.inputs}

    def batches(self) -> list[Rows]:
        """Cut by rows, those of one shape together."""
        lengths = np.stack([lists.lengths for lists in self._lists.values()])
        _, shape_of_row = np.unique(lengths, axis=1, return_inverse=True)
        return cut(shape_of_row.reshape(-1).astype(np.int64), self._model.most_rows, None, padding=False)

    def tensors(self, rows: Rows) -> Tensors:
        """Each input in its own shape."""
        return {tensor.name: batch_of(tensor, self._lists[tensor.name].stacked(rows)) for tensor in self._model.inputs}
