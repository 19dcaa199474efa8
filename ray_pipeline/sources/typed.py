"""Python values become a column of one type; a value that does not fit it makes its row a rejected one."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ray_pipeline.rejection import Rejection, Rejections
from triton_models.errors import cut

_MISFITS = (pa.ArrowException, OverflowError, TypeError, ValueError)


def column_of(values: list[Any], field: pa.Field, rejections: Rejections) -> pa.Array:
    """The values in the type of `field`; null where one does not fit, and then the row is rejected."""
    try:
        array = pa.array(values, field.type)
    except _MISFITS:
        array = None
    if array is None or (_may_lose(field.type) and any(_loses(value, field.type) for value in values)):
        array = pa.array([_checked(value, row, field, rejections) for row, value in enumerate(values)], field.type)
    return array


def shown(value: Any) -> str:
    """A value for people, cut to a line."""
    return cut(repr(value))


def _checked(value: Any, row: int, field: pa.Field, rejections: Rejections) -> Any:
    try:
        pa.scalar(value, field.type)
        fits = not _loses(value, field.type)
    except _MISFITS:
        fits = False
    if fits:
        return value
    message = f"column {field.name!r}: {shown(value)} is not {field.type}"
    rejections[row] = rejections[row] or Rejection("WrongType", message)
    return None


def _may_lose(kind: pa.DataType) -> bool:
    """Whether Arrow may take a value of a column without a word although a part of it does not fit."""
    return bool(
        pa.types.is_integer(kind) or pa.types.is_struct(kind) or (_is_list(kind) and _may_lose(kind.value_type))
    )


def _loses(value: Any, kind: pa.DataType) -> bool:
    """Whether Arrow would cut something off a value: the fraction of a float, a member that the type does not have."""
    if pa.types.is_integer(kind):
        return isinstance(value, float) and not value.is_integer()
    if isinstance(value, list) and _is_list(kind):
        return any(_loses(one, kind.value_type) for one in value)
    if isinstance(value, dict) and pa.types.is_struct(kind):
        types = {field.name: field.type for field in kind}
        return any(name not in types or _loses(one, types[name]) for name, one in value.items())
    return False


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
