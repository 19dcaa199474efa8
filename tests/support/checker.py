"""A checker of a finished job that knows only what went in and what must have come out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from triton_models.storage import open_storage


def check_every_row_once(
    expected: pa.Table | Sequence[Mapping[str, Any]],
    output: str,
    endpoint_url: str | None = None,
    *,
    rejected: Iterable[tuple[str, int]] = (),
    key: str = "id",
    tolerance: float = 1e-5,
) -> None:
    """Every expected row is in `data/` once with its values, every other in `rejected/` once; nothing else is there.

    `expected` are the rows that can be scored: `key` and the answer columns. `rejected` are the others: the path of
    their object in the input, and their number in it. Floating-point answers may differ by `tolerance`. Raises
    AssertionError that names the rows.
    """
    rows = expected.to_pylist() if isinstance(expected, pa.Table) else expected
    wanted = {row[key]: row for row in rows}
    assert len(wanted) == len(rows), f"the expected rows do not differ in {key!r}"
    found = _rows(f"{output}/data", endpoint_url)
    _same("in data/", Counter(row[key] for row in found), Counter(wanted.keys()))
    differing = [row[key] for row in found if not _equal(row, wanted[row[key]], tolerance)]
    assert not differing, f"{len(differing)} rows have other values, such as {key} {differing[:5]}"
    refused = Counter((row["object"], row["row"]) for row in _rows(f"{output}/rejected", endpoint_url))
    _same("in rejected/", refused, Counter(rejected))


def _rows(folder: str, endpoint_url: str | None) -> list[dict[str, Any]]:
    storage = open_storage(folder, endpoint_url)
    parts = [one.path for one in storage.objects(hidden=True)]
    return [row for path in parts for row in pq.read_table(pa.BufferReader(storage.read(path))).to_pylist()]


def _same(where: str, found: Counter[Any], wanted: Counter[Any]) -> None:
    lost, surplus = wanted - found, found - wanted
    assert not lost, f"{lost.total()} rows are not {where}, such as {list(lost)[:5]}"
    assert not surplus, f"{surplus.total()} rows are too often {where}, such as {list(surplus)[:5]}"


def _equal(found: Mapping[str, Any], wanted: Mapping[str, Any], tolerance: float) -> bool:
    return found.keys() == wanted.keys() and all(_close(found[name], wanted[name], tolerance) for name in wanted)


def _close(found: Any, wanted: Any, tolerance: float) -> bool:
    one, other = np.asarray(found), np.asarray(wanted)
    if one.dtype.kind == other.dtype.kind == "f":
        return one.shape == other.shape and np.allclose(one, other, rtol=0, atol=tolerance, equal_nan=True)
    return bool(found == wanted)
