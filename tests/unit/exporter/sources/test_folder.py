from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from exporter.errors import SourceError
from exporter.sources.folder import kind_of, labels_of, read_json, refuse_pickle, refuse_remote_code, refuse_writers
from exporter.sources.sentence_transformers import PairScorer, Step, read_cross_encoder, read_modules

KINDS = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"), ("3_Normalize", "Normalize")]


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def sentence_folder(folder: Path, pooling: Any, kinds: list[tuple[str, str]] = KINDS) -> Path:
    modules = [{"path": place, "type": f"sentence_transformers.models.{kind}"} for place, kind in kinds]
    write(folder / "modules.json", modules)
    write(folder / "1_Pooling/config.json", pooling)
    return folder


def test_modules_are_read_in_order(tmp_path: Path) -> None:
    modules = read_modules(
        sentence_folder(tmp_path, {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False})
    )
    assert modules is not None
    assert (modules.transformer, modules.modes) == (tmp_path, ("mean",))
    assert modules.after == (Step("Dense", tmp_path / "2_Dense"), Step("Normalize", tmp_path / "3_Normalize"))


@pytest.mark.parametrize(
    ("pooling", "modes"),
    [
        ({"pooling_mode": "cls"}, ("cls",)),
        ({"pooling_mode": ["mean", "cls"]}, ("cls", "mean")),
        ({"pooling_mode_mean_sqrt_len_tokens": True, "pooling_mode_max_tokens": True}, ("max", "mean_sqrt_len")),
    ],
)
def test_both_ways_to_write_the_pooling_are_read(tmp_path: Path, pooling: Any, modes: tuple[str, ...]) -> None:
    modules = read_modules(sentence_folder(tmp_path, pooling))
    assert modules is not None
    assert modules.modes == modes


@pytest.mark.parametrize("pooling", [{"pooling_mode_lasttoken": True}, {"pooling_mode": "weightedmean"}, {}])
def test_an_unknown_pooling_is_refused(tmp_path: Path, pooling: Any) -> None:
    with pytest.raises(SourceError, match="known are cls, max, mean, mean_sqrt_len"):
        read_modules(sentence_folder(tmp_path, pooling))


def test_an_unknown_module_is_refused_and_not_left_out(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="lists a LSTM module"):
        read_modules(sentence_folder(tmp_path, {"pooling_mode": "cls"}, [*KINDS, ("4_LSTM", "LSTM")]))


def test_a_module_from_elsewhere_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "modules.json", [{"path": "", "type": "custom_st.Transformer"}])
    with pytest.raises(SourceError, match=r"custom_st\.Transformer, code from outside"):
        read_modules(tmp_path)


def test_a_prompt_before_every_text_is_refused(tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path, {"pooling_mode": "cls"})
    write(
        folder / "config_sentence_transformers.json", {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    )
    with pytest.raises(SourceError, match="puts 'query: ' before every text"):
        read_modules(folder)


def test_a_pickle_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(SourceError, match=r"pytorch_model\.bin, a pickle.*save_pretrained"):
        refuse_pickle(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    refuse_pickle(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"has no model\.safetensors"):
        refuse_pickle(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "preprocessor_config.json"])
def test_code_in_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    refuse_remote_code(tmp_path)
    write(tmp_path / name, {"auto_map": {"AutoModel": "modeling.Model"}})
    with pytest.raises(SourceError, match=f"auto_map in {name}.*--trust-remote-code"):
        refuse_remote_code(tmp_path)


def test_architectures_say_what_is_exported(tmp_path: Path) -> None:
    assert kind_of(tmp_path, {"architectures": ["BertForSequenceClassification"]}) == "classifier"
    assert kind_of(tmp_path, {"architectures": ["BertModel"]}) == "encoder"
    assert kind_of(tmp_path, {"architectures": ["RobertaForMaskedLM"]}) == "encoder"
    assert kind_of(tmp_path, {"architectures": ["BertForTokenClassification"]}) == "tagger"
    assert kind_of(tmp_path, {"architectures": ["ViTForImageClassification"]}) == "image classifier"
    for config in ({"architectures": ["GPT2LMHeadModelHead"]}, {"architectures": ["ViTForMaskedImageModeling"]}, {}):
        with pytest.raises(SourceError, match="write a factory"):
            kind_of(tmp_path, config)
    with pytest.raises(SourceError, match="has a decoder"):
        refuse_writers(tmp_path, {"is_encoder_decoder": True})


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(SourceError, match=r"config\.json is not JSON"):
        read_json(tmp_path / "config.json")


def test_an_encoder_with_an_image_processor_and_no_tokenizer_reads_images(tmp_path: Path) -> None:
    write(tmp_path / "preprocessor_config.json", {})
    assert kind_of(tmp_path, {"architectures": ["Dinov2Model"]}) == "image encoder"
    write(tmp_path / "tokenizer.json", {})
    assert kind_of(tmp_path, {"architectures": ["Dinov2Model"]}) == "encoder"


@pytest.mark.parametrize(
    ("named", "labels"),
    [
        ({"0": "no", "1": "yes"}, ("no", "yes")),
        ({"10": "k", **{str(number): "abcdefghij"[number] for number in range(10)}}, tuple("abcdefghijk")),
        ({"0": "LABEL_0", "1": "LABEL_1"}, ()),
        ({"0": "LABEL_0", "1": "yes"}, ("LABEL_0", "yes")),
        ({"1": "yes", "2": "no"}, ()),
        ({"a": "yes"}, ()),
        (None, ()),
    ],
)
def test_classes_have_the_names_that_somebody_gave_them(named: Any, labels: tuple[str, ...]) -> None:
    assert labels_of({"id2label": named}) == labels


SIGMOID, IDENTITY = "torch.nn.modules.activation.Sigmoid", "torch.nn.modules.linear.Identity"


@pytest.mark.parametrize(
    ("settings", "config", "activation"),
    [
        ({"model_type": "CrossEncoder", "activation_fn": IDENTITY}, {"id2label": {"0": "LABEL_0"}}, IDENTITY),
        ({"model_type": "CrossEncoder"}, {"id2label": {"0": "LABEL_0"}}, SIGMOID),
        ({"model_type": "CrossEncoder"}, {}, IDENTITY),
        ({}, {"sentence_transformers": {"activation_fn": IDENTITY}}, IDENTITY),
        ({}, {"sbert_ce_default_activation_function": SIGMOID}, SIGMOID),
    ],
)
def test_a_cross_encoder_says_what_stands_behind_its_logits(
    tmp_path: Path, settings: Any, config: Any, activation: str
) -> None:
    write(tmp_path / "config_sentence_transformers.json", settings)
    write(tmp_path / "config.json", config)
    assert read_cross_encoder(tmp_path) == PairScorer(tmp_path, activation)


def test_what_is_no_cross_encoder_is_none(tmp_path: Path) -> None:
    write(tmp_path / "config.json", {"architectures": ["BertForSequenceClassification"]})
    assert read_cross_encoder(tmp_path) is None
    write(tmp_path / "config.json", {"sbert_ce_default_activation_function": SIGMOID})
    assert read_cross_encoder(sentence_folder(tmp_path, {"pooling_mode": "cls"})) is None


def test_a_cross_encoder_with_further_modules_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "config_sentence_transformers.json", {"model_type": "CrossEncoder"})
    kinds = [("", "Transformer"), ("1_Dense", "Dense")]
    with pytest.raises(SourceError, match="lists Transformer, Dense; a cross-encoder can be exported if it is one"):
        read_cross_encoder(sentence_folder(tmp_path, {}, kinds))
