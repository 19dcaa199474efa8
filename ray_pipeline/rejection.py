"""Why a row cannot be scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from ray_pipeline.chunk import ERROR, REASON, STAGE


@dataclass(frozen=True, slots=True)
class Rejection:
    """The kind of the error, such as `NotJson`, and what people are told."""

    error: str
    message: str


Rejections = list[Rejection | None]
"""One for each row of a table: None while the row is good."""


def rejections_of(table: pa.Table) -> Rejections:
    """Those of a table on its way."""
    return [
        Rejection(error, reason) if error is not None else None
        for error, reason in zip(table[ERROR].to_pylist(), table[REASON].to_pylist(), strict=True)
    ]


def rejection_columns(rejections: Sequence[Rejection | None], stages: Sequence[str | None]) -> dict[str, pa.Array]:
    """The columns of a table that say so."""
    return {
        STAGE: pa.array(stages, pa.string()),
        ERROR: pa.array([one and one.error for one in rejections], pa.string()),
        REASON: pa.array([one and one.message for one in rejections], pa.string()),
    }


def staged(rejections: Sequence[Rejection | None], before: Sequence[str | None], stage: str) -> list[str | None]:
    """The stage of each row: the one it was rejected in `before`, or else, if it is rejected now, `stage`."""
    return [
        old if old is not None else stage if rejection is not None else None
        for rejection, old in zip(rejections, before, strict=True)
    ]
