"""What an output format can do: hold the rows of a part, and give them back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa


class Sink(Protocol):
    """One output format. `suffix` is how the names of its parts end."""

    suffix: str

    def encoded(self, rows: pa.Table) -> pa.Buffer:
        """The content of a part; the same rows give the same bytes."""
        ...

    def merged(self, content: bytes, rows: pa.Table, order: Sequence[int]) -> pa.Buffer:
        """The content of a part that holds the rows of another one and these: of both, in this order, as `take` has it.

        Raises OutputError for content that is not whole.
        """
        ...

    def decoded(self, content: bytes) -> pa.Table:
        """The rows of a part. Raises OutputError for content that is not whole."""
        ...

    def count(self, content: bytes) -> int:
        """How many rows a part holds. Raises OutputError for content that is not whole."""
        ...
