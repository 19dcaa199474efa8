"""Tar shards of images: each image in a shard is one row, with its path and its bytes."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from ray_pipeline.chunk import Piece
from ray_pipeline.errors import InputError
from ray_pipeline.sources.base import Rows, Survey
from ray_pipeline.sources.images import IMAGE_SUFFIXES, SCHEMA
from ray_pipeline.sources.opened import opened
from ray_pipeline.sources.positions import Positions
from triton_models.storage import ObjectInfo, Storage


class Tar:
    """Objects that end in `.tar`; what is in them beside images is left out.

    The columns are those of a folder of images; `path` is `shard.tar/name in the shard`.
    """

    suffixes = (".tar",)

    def survey(self, storage: Storage, found: ObjectInfo, rows_per_chunk: int) -> Survey:
        """Reads the object once, from one end to the other."""
        positions = Positions(found, rows_per_chunk)
        with opened(storage, found.path) as file, _shard(storage, found.path, file) as members:
            at = 0
            for member in members:
                # Where the next member begins: a link or a sparse file takes other room than its size says.
                positions.add(members.offset - at, is_row=_is_image(member))
                at = members.offset
        _check_end(storage, found.path, at)
        return Survey(SCHEMA, positions.pieces())

    def read(self, storage: Storage, piece: Piece, schema: pa.Schema) -> Rows:
        """Reads the members between the first and the last byte of the piece."""
        with opened(storage, piece.path, piece.first_byte) as file:
            content = io.BytesIO(file.read(piece.end_byte - piece.first_byte))
        with _shard(storage, piece.path, content) as members:
            found = [
                (f"{piece.path}/{member.name}", _content(members, member)) for member in members if _is_image(member)
            ]
        columns = {"path": [path for path, _ in found], "image": [image for _, image in found]}
        return Rows.good(pa.table(columns, SCHEMA).select(schema.names).cast(schema))


@contextmanager
def _shard(storage: Storage, path: str, file: io.BufferedIOBase) -> Iterator[tarfile.TarFile]:
    """The members of a shard, or of a stretch of one. Raises InputError, also while they are read."""
    try:
        # As a stream, so that an object store is read once and not asked for each member.
        with tarfile.open(fileobj=file, mode="r|") as members:
            yield members
    except (tarfile.TarError, EOFError) as error:
        raise InputError(f"{storage.uri}/{path} cannot be read as a tar shard: {error}") from error


def _check_end(storage: Storage, path: str, at: int) -> None:
    """Raises InputError if there is something else than zeros after the last member that was understood, or nothing.

    Python's reader takes a header that is broken or cut for the end.
    """
    with opened(storage, path, at) as file:
        rest = file.read(tarfile.BLOCKSIZE)
        is_end = len(rest) == tarfile.BLOCKSIZE
        while is_end and rest:
            is_end = not any(rest)
            rest = file.read(tarfile.RECORDSIZE)
    if not is_end:
        raise InputError(
            f"{storage.uri}/{path} cannot be read as a tar shard to its end: from byte {at} on there is neither a "
            "member nor the end mark; is it cut, or are several shards in one?"
        )


def _is_image(member: tarfile.TarInfo) -> bool:
    return member.isfile() and member.name.lower().endswith(IMAGE_SUFFIXES)


def _content(members: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = members.extractfile(member)
    assert file is not None  # only what is no file has none
    return file.read()
