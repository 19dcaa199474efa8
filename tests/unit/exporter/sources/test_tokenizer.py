from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from exporter.errors import SourceError
from exporter.preprocess import SENTENCES, TextInputs
from exporter.sources.tokenizer import (
    check_marks,
    load_tokenizer,
    max_tokens_of,
    pad_id_of,
    preparation_of,
    write_tokenizer,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    words = ["[PAD]", "[UNK]", "the", "The", "a", "cat"]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.enable_padding(length=128, pad_id=4)
    tokenizer.enable_truncation(2)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_cutting_and_padding_in_the_file_are_not_relied_upon(folder: Path) -> None:
    assert load_tokenizer(folder, 6).encode("the cat a cat the cat a cat").ids == [2, 5, 4, 5, 2, 5]


def test_the_written_tokenizer_neither_cuts_nor_pads(folder: Path, tmp_path: Path) -> None:
    write_tokenizer(load_tokenizer(folder, 3), tmp_path / "version")
    written = Tokenizer.from_file(str(tmp_path / "version/assets/tokenizer.json"))
    assert written.truncation is None
    assert written.padding is None
    assert len(written.encode("cat " * 50).ids) == 50


@pytest.mark.parametrize(
    ("file", "config"),
    [("tokenizer_config.json", {"do_lower_case": True}), ("sentence_bert_config.json", {"do_lower_case": True})],
)
def test_letters_are_made_small_where_the_folder_says_so(folder: Path, file: str, config: dict[str, bool]) -> None:
    assert load_tokenizer(folder, 6).encode("The").ids == [3]
    (folder / file).write_text(json.dumps(config))
    assert load_tokenizer(folder, 6).encode("The").ids == [2]


def test_the_least_of_all_limits_counts(folder: Path) -> None:
    assert max_tokens_of(folder, None, None) == 512
    assert max_tokens_of(folder, 514, None) == 514
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 1e30}))
    assert max_tokens_of(folder, 514, None) == 514
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 256}))
    assert max_tokens_of(folder, 514, None) == 256
    assert max_tokens_of(folder, 514, 64) == 64
    with pytest.raises(SourceError, match="--max-tokens is 257"):
        max_tokens_of(folder, 514, 257)


def test_rows_are_filled_up_with_the_padding_token_of_the_tokenizer(folder: Path) -> None:
    tokenizer = load_tokenizer(folder, 6)
    assert pad_id_of(tokenizer, folder, {}) == 0
    assert pad_id_of(tokenizer, folder, {"pad_token_id": 1}) == 1
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": {"content": "a"}}))
    assert pad_id_of(tokenizer, folder, {"pad_token_id": 1}) == 4


def test_a_folder_without_a_tokenizer_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="AutoTokenizer"):
        load_tokenizer(tmp_path, 6)


def test_rows_of_sentences_differ_in_length_and_are_masked(folder: Path) -> None:
    tokenizer = load_tokenizer(folder, 32)
    texts = TextInputs(tokenizer, preparation_of(tokenizer, folder, {}, 32, ("input_ids", "attention_mask")), 6)
    found = texts.sentences(2 * len(SENTENCES))
    lengths = found["attention_mask"].sum(axis=1)
    assert set(found) == {"input_ids", "attention_mask"}
    assert len(set(lengths.tolist())) > 4
    assert found["input_ids"].shape[1] == lengths.max() == 32
    assert not found["input_ids"][found["attention_mask"] == 0].any()


def test_random_rows_reach_the_length_and_hold_no_padding_token(folder: Path) -> None:
    tokenizer = load_tokenizer(folder, 32)
    texts = TextInputs(tokenizer, preparation_of(tokenizer, folder, {}, 32, ("input_ids", "attention_mask")), 6)
    found = texts.random(5, 9)
    assert found["input_ids"].shape == (5, 9)
    assert found["input_ids"][found["attention_mask"] == 1].min() > 0


@pytest.mark.parametrize(("pair_template", "fits"), [("[PAD] $A [PAD] $B [PAD]", True), (None, False)])
def test_pairs_need_marks_of_their_own(folder: Path, pair_template: str | None, fits: bool) -> None:
    tokenizer = load_tokenizer(folder, 6)
    check_marks(tokenizer, folder, ("input_ids",), pair=True)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[PAD] $A", pair=pair_template, special_tokens=[("[PAD]", 0)]
    )
    check_marks(tokenizer, folder, ("input_ids",), pair=False)
    if fits:
        check_marks(tokenizer, folder, ("input_ids",), pair=True)
    else:
        with pytest.raises(SourceError, match="puts no marks around pairs"):
            check_marks(tokenizer, folder, ("input_ids",), pair=True)


def test_token_types_of_single_texts_are_zero_or_the_model_is_refused(folder: Path) -> None:
    tokenizer = load_tokenizer(folder, 6)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A [PAD]:2", special_tokens=[("[PAD]", 0)])
    check_marks(tokenizer, folder, ("input_ids",), pair=False)
    with pytest.raises(SourceError, match="token types are not all 0"):
        check_marks(tokenizer, folder, ("input_ids", "token_type_ids"), pair=False)
