"""What an output format can do: hold the rows of a part, and give them back."""

from __future__ import annotations

from typing import Protocol

import pyarrow as pa


class Sink(Protocol):
    """One output format. `suffix` is how the names of its parts end."""

    suffix: str

    def encoded(self, rows: pa.Table) -> pa.Buffer:
        """The content of a part; the same rows give the same bytes."""
        ...

    def decoded(self, content: bytes) -> pa.Table:
        """The rows of a part. Raises OutputError for content that is not whole."""
        ...

    def count(self, content: bytes) -> int:
        """How many rows a part holds. Raises OutputError for content that is not whole."""
        ...
