"""Dataclasses become JSON, and what is read again is of the types and within the bounds that they say."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest

from triton_models.typed_json import Within, dumps, loads, reader_of

Share = Annotated[float, Within(0, 1)]


@dataclass(frozen=True)
class Round:
    radius: int
    kind: Literal["round"] = "round"


@dataclass(frozen=True)
class Flat:
    sides: tuple[int, ...] = ()
    kind: Literal["flat"] = "flat"


@dataclass(frozen=True)
class Thing:
    name: str
    shape: Round | Flat
    share: Share = 1.0
    most: Share | None = None
    parts: tuple[Flat, ...] = ()
    counts: dict[str, Annotated[int, Within(0, 9)]] = field(default_factory=dict)
    content: bytes = b""


READ = reader_of(Thing)
THINGS = (
    Thing("a", Flat()),
    Thing("b", Round(3), 0.5, 0.25, (Flat((1, 2)), Flat()), {"x": 9}, b"\x00\xff"),
)


@pytest.mark.parametrize("thing", THINGS)
def test_what_is_written_is_read_again(thing: Thing) -> None:
    assert READ(loads(dumps(thing))) == thing


def test_what_is_as_by_default_is_left_out() -> None:
    assert json.loads(dumps(THINGS[0])) == {"name": "a", "shape": {"kind": "flat"}}


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"share": 1.5}, r"share: 1\.5 is not from 0 to 1"),
        ({"share": -1}, r"share: -1\.0 is not from 0 to 1"),
        ({"share": float("inf")}, r"share: inf is not from 0 to 1"),
        ({"share": None}, r"share: None is no number"),
        ({"most": 2}, r"most: 2\.0 is not from 0 to 1"),
        ({"counts": {"x": 10}}, r"counts: 10 is not from 0 to 9"),
        ({"counts": {"x": True}}, r"counts: True is not of type int"),
        ({"parts": [{"sides": "x"}]}, r"parts: sides: 'x' is not of type list"),
        ({"shape": {"kind": "solid"}}, r"shape: kind 'solid' is none of round, flat"),
        ({"shape": {"kind": "round"}}, r"shape: 'radius' is missing"),
        ({"colour": 1}, r"'colour' is unknown"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(said: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValueError, match=f"^{wrong}$"):
        READ({"name": "a", "shape": {"kind": "flat"}, **said})
