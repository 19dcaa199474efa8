"""Where the pieces of an object lie that can only be counted by reading it."""

from __future__ import annotations

from ray_pipeline.chunk import Piece
from triton_models.storage import ObjectInfo

BYTES_PER_PIECE = 128 * 2**20
"""How large a piece of several rows may be, which is read into memory as a whole."""


class Positions:
    """Counts the bytes and the rows of an object as they go by, and notes where each piece begins and ends.

    A piece ends with its last row, or before the row that would make it too large. It begins where the one before it
    ended, so that no byte is left out; `begin` is where the first one does.
    """

    def __init__(
        self, found: ObjectInfo, rows_per_chunk: int, begin: int = 0, bytes_per_piece: int = BYTES_PER_PIECE
    ) -> None:
        self._found, self._rows_per_chunk, self._bytes_per_piece = found, rows_per_chunk, bytes_per_piece
        self._first_byte = self._position = begin
        self._rows = self._total = 0
        self._pieces: list[Piece] = []

    def add(self, size: int, *, is_row: bool) -> None:
        """The next `size` bytes, which are one row or none."""
        if self._rows and self._position + size - self._first_byte > self._bytes_per_piece:
            self._close()
        self._position += size
        self._rows += is_row
        if self._rows == self._rows_per_chunk:
            self._close()

    def pieces(self) -> tuple[Piece, ...]:
        """All pieces, after the last byte."""
        if self._rows:
            self._close()
        return tuple(self._pieces)

    def _close(self) -> None:
        found = self._found
        self._pieces.append(Piece(found.path, found.stamp, self._rows, self._total, self._first_byte, self._position))
        self._total += self._rows
        self._first_byte, self._rows = self._position, 0
