"""Folders of images: each object is one row, with its path and its bytes."""

from __future__ import annotations

import pyarrow as pa

from ray_pipeline.chunk import Piece
from ray_pipeline.errors import InputError
from ray_pipeline.sources.base import Rows, Survey
from triton_models.storage import ObjectInfo, Storage

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
SCHEMA = pa.schema([("path", pa.string()), ("image", pa.binary())])


class Images:
    """Objects that end in `.jpg`, `.jpeg`, `.png` or `.webp`, as the columns `path` and `image`."""

    suffixes = IMAGE_SUFFIXES

    def survey(self, storage: Storage, found: ObjectInfo, rows_per_chunk: int) -> Survey:
        """One row; nothing is read."""
        return Survey(SCHEMA, (Piece(found.path, found.stamp, 1),))

    def read(self, storage: Storage, piece: Piece, schema: pa.Schema) -> Rows:
        """Reads the object, which is not decoded here."""
        try:
            content = storage.read(piece.path)
        except OSError as error:
            raise InputError(f"{storage.uri}/{piece.path} cannot be read: {error}") from error
        return Rows.good(pa.table({"path": [piece.path], "image": [content]}, SCHEMA).select(schema.names).cast(schema))
