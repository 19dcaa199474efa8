from __future__ import annotations

import dataclasses
import json

import pytest

from tests.support.repositories import card
from triton_models.card import Card, Check, TextPreparation
from triton_models.errors import CardError
from triton_models.tensors import TensorSpec

TENSORS = dataclasses.replace(card(), name="small", version=3, created="2030-01-02T03:04:05+00:00")
TEXT = dataclasses.replace(
    TENSORS,
    inputs=(TensorSpec("ids", "INT64", (-1,)), TensorSpec("mask", "INT64", (-1,))),
    preparation=TextPreparation("assets/tokenizer.json", 256, 0, "ids", "mask", None, True),
    checks=(Check("against torch", "y", 7, 2.5e-7, 1e-6, 0.999999, 1e-3),),
    tools={"torch": "2.13.0"},
    files={"model.onnx": "ab" * 32},
)


@pytest.mark.parametrize("written", [TENSORS, TEXT], ids=["tensors", "text"])
def test_a_card_is_read_as_it_was_written(written: Card) -> None:
    assert Card.from_json(written.to_json(), "card.json") == written


def test_a_card_says_which_columns_a_job_must_name() -> None:
    assert TENSORS.columns == ("x",)
    assert TEXT.columns == ("text",)


def test_a_card_of_a_newer_format_asks_for_an_upgrade() -> None:
    newer = json.loads(TENSORS.to_json()) | {"format": 2}
    with pytest.raises(CardError, match=r"small/3/card.json was written by a newer Rayton; upgrade"):
        Card.from_json(json.dumps(newer), "small/3/card.json")


def changed(**fields: object) -> str:
    return json.dumps(json.loads(TENSORS.to_json()) | fields)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 1}',
        changed(surprise=1),
        changed(inputs=[{"name": "x"}]),
        changed(inputs=[{"name": "x", "dtype": "FP99", "shape": []}]),
        changed(preparation={"kind": "audio"}),
        changed(checks=[{"name": "half a check"}]),
    ],
)
def test_a_broken_card_is_an_error_that_names_the_file(text: str) -> None:
    with pytest.raises(CardError, match=r"small/3/card.json is not a card .*; export the model again"):
        Card.from_json(text, "small/3/card.json")
