"""Bulk scoring: object storage in, the Triton of each node, object storage out, through Ray Data."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray_pipeline.scorer import TritonScorer

__all__ = ["TritonScorer"]


def __getattr__(name: str) -> object:
    """Imports what is public here when it is asked for: most of the package needs neither it nor its libraries."""
    if name == "TritonScorer":
        from ray_pipeline.scorer import TritonScorer

        return TritonScorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
