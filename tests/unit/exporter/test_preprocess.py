from __future__ import annotations

import dataclasses

import numpy as np
from tokenizers import Tokenizer

from exporter.preprocess import PAIRS, TextInputs
from tests.support.job_models import BEGIN, END, PAD, WORDS, text_preparation, tokenizer

ONE, TWO, THREE = WORDS["one"], WORDS["two"], WORDS["three"]


def inputs(*, pair: bool, max_tokens: int = 8) -> TextInputs:
    tokens = Tokenizer.from_str(tokenizer())
    tokens.enable_truncation(max_tokens)
    preparation = dataclasses.replace(text_preparation(max_tokens=max_tokens, types="types"), pair=pair)
    return TextInputs(tokens, preparation, len(WORDS))


def test_given_texts_become_rows_in_their_order() -> None:
    found = inputs(pair=False).of_texts(["one two", "three"])
    assert {name: array.tolist() for name, array in found.items()} == {
        "ids": [[BEGIN, ONE, TWO, END], [BEGIN, THREE, END, PAD]],
        "mask": [[1, 1, 1, 1], [1, 1, 1, 0]],
        "types": [[0, 0, 0, 0], [0, 0, 0, 0]],
    }


def test_the_second_text_of_a_pair_has_types_of_its_own() -> None:
    found = inputs(pair=True).of_texts(["one two", ""], ["three", "one"])
    assert found["ids"].tolist() == [[BEGIN, ONE, TWO, END, THREE, END], [BEGIN, END, ONE, END, PAD, PAD]]
    assert found["types"].tolist() == [[0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 0, 0]]
    assert found["mask"].tolist() == [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]]


def test_of_a_pair_that_is_too_long_the_longer_text_is_cut() -> None:
    found = inputs(pair=True, max_tokens=7).of_texts(["one " * 9], ["two three"])
    assert found["ids"].tolist() == [[BEGIN, ONE, ONE, END, TWO, THREE, END]]


def test_a_model_of_pairs_is_proven_on_pairs() -> None:
    known = inputs(pair=True).tokenized()
    assert len(known) == len(PAIRS)
    assert all(set(row.types) == {0, 1} for row in known)


def test_random_pairs_have_both_types_and_no_padding_inside() -> None:
    found = inputs(pair=True).random(20, 8)
    assert found["ids"].shape == (20, 8)
    assert set(np.unique(found["types"])) == {0, 1}
    assert (np.diff(found["types"][found["mask"].all(axis=1)], axis=1) >= 0).all()
    assert not found["types"][found["mask"] == 0].any()
