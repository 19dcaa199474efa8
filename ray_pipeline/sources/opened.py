"""Objects of text are opened as bytes, from any position on, whether they are compressed or not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import PurePosixPath

import pyarrow as pa

from ray_pipeline.errors import InputError
from triton_models.storage import Storage

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_BUFFER_BYTES = 4 << 20


def plain_name(path: str) -> str:
    """The path in small letters without the ending of its compression: `a.jsonl` of `a.jsonl.gz`."""
    plain = PurePosixPath(path.lower())
    return str(plain.with_suffix("") if plain.suffix in COMPRESSIONS else plain)


def with_compressed(suffix: str) -> tuple[str, ...]:
    """The ending of a format, and what it is when the object is compressed."""
    return (suffix, *(f"{suffix}{compression}" for compression in COMPRESSIONS))


@contextmanager
def opened(storage: Storage, path: str, first_byte: int = 0) -> Iterator[io.BufferedReader]:
    """The bytes of an object from `first_byte` on, which counts them as they were before they were compressed.

    A compressed object is unpacked from its beginning up to there. Raises InputError, also while it is read.
    """
    compression = COMPRESSIONS.get(PurePosixPath(path).suffix.lower())
    try:
        with ExitStack() as files:
            file = files.enter_context(storage.open(path))
            if compression is not None:
                file = files.enter_context(pa.CompressedInputStream(file, compression))
            else:
                file.seek(min(first_byte, file.size()))
            reader = files.enter_context(io.BufferedReader(file, _BUFFER_BYTES))
            if compression is not None:
                _skip(reader, first_byte)
            yield reader
    except OSError as error:
        raise InputError(f"{storage.uri}/{path} cannot be read: {error}") from error


def _skip(reader: io.BufferedReader, count: int) -> None:
    while count and (skipped := len(reader.read(min(count, _BUFFER_BYTES)))):
        count -= skipped
