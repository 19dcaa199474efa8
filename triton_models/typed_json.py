"""Dataclasses become JSON, and JSON that others may have written dataclasses whose values are what their types say."""

from __future__ import annotations

import base64
import binascii
import json
import math
import reprlib
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

_Kind = TypeVar("_Kind")
Reader = Callable[[Any], _Kind]
"""Makes a value of a JSON value. Raises ValueError, which says what is wrong and where."""


@dataclass(frozen=True)
class Within:
    """The least and the most that a number may be, as in `Annotated[float, Within(0, 1)]`."""

    least: float
    most: float

    def checked(self, number: float) -> float:
        """The number. Raises ValueError."""
        if not self.least <= number <= self.most:
            raise ValueError(f"{reprlib.repr(number)} is not from {self.least} to {self.most}")
        return number


def dumps(value: Any) -> str:
    """The JSON text of a dataclass, for its reader. What is as by default is left out, but for a `kind`."""
    return json.dumps(value, default=_told, separators=(",", ":"))


def loads(content: bytes | str) -> Any:
    """The value of a JSON text. Raises ValueError, also for one that is nested deeper than any of ours."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def reader_of(kind: type[_Kind]) -> Reader[_Kind]:
    """What makes a dataclass of a JSON value. A number may have bounds; bytes are base64.

    Several dataclasses in a union are told apart by their `kind`, a literal.
    """
    return _object_of(kind)


def _reader_of(hint: Any) -> Reader[Any]:
    if is_dataclass(hint):
        return _object_of(hint)
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        number, bounds = _reader_of(inner[0]), inner[1]
        return lambda value: bounds.checked(number(value))
    if origin is Literal:
        return lambda value: _one_of(inner, value)
    if origin is tuple:
        item = _reader_of(inner[0])
        return lambda value: tuple(item(one) for one in _instance(list, value))
    if origin is dict:
        item = _reader_of(inner[1])
        return lambda value: {_text(key): item(one) for key, one in _instance(dict, value).items()}
    if origin in (Union, UnionType):
        return _union_of([kind for kind in inner if kind is not type(None)], type(None) in inner)
    return {float: _number, bytes: _bytes, str: _text}.get(hint) or (lambda value: _instance(hint, value))


def _object_of(kind: Any) -> Reader[Any]:
    hints = get_type_hints(kind, include_extras=True)
    readers = {field.name: _reader_of(hints[field.name]) for field in fields(kind)}
    needed = [name for name, usual in _usual(kind).items() if usual is MISSING]

    def read(said: Any) -> Any:
        if not isinstance(said, dict):
            raise ValueError(f"{reprlib.repr(said)} is no object")
        values = {}
        for name, value in said.items():
            if name not in readers:
                raise ValueError(f"{reprlib.repr(name)} is unknown")
            try:
                values[name] = readers[name](value)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        for name in needed:
            if name not in values:
                raise ValueError(f"{name!r} is missing")
        return kind(**values)

    return read


@cache
def _usual(kind: Any) -> dict[str, Any]:
    """What each field of a dataclass is where nothing is said; MISSING where something has to be."""
    return {
        field.name: field.default if field.default_factory is MISSING else field.default_factory()
        for field in fields(kind)
    }


def _told(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    said = {name: (getattr(value, name), usual) for name, usual in _usual(value.__class__).items()}
    return {name: one for name, (one, usual) in said.items() if one != usual or name == "kind"}


def _union_of(kinds: list[Any], is_optional: bool) -> Reader[Any]:
    if len(kinds) == 1:
        one = _reader_of(kinds[0])
        return lambda value: None if value is None and is_optional else one(value)
    readers = {get_args(get_type_hints(kind)["kind"])[0]: _reader_of(kind) for kind in kinds}

    def read(said: Any) -> Any:
        called = _text(_instance(dict, said).get("kind"))
        if called not in readers:
            raise ValueError(f"kind {reprlib.repr(called)} is none of {', '.join(readers)}")
        return readers[called](said)

    return read


def _instance(kind: type, value: Any) -> Any:
    if type(value) is not kind:  # True is an int, but not to us
        raise ValueError(f"{reprlib.repr(value)} is not of type {kind.__name__}")
    return value


def _text(value: Any) -> str:
    text: str = _instance(str, value)
    text.encode()  # JSON can hold half a character, which nothing can be written with
    return text


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"{reprlib.repr(value)} is no number")
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError(str(error)) from error
    if math.isnan(number):
        raise ValueError(f"{number!r} is no number")
    return number


def _one_of(choices: tuple[Any, ...], value: Any) -> Any:
    if value not in choices:
        raise ValueError(f"{reprlib.repr(value)} is none of {', '.join(map(str, choices))}")
    return value


def _bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(_instance(str, value), validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error
