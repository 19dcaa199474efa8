"""Text models, exported for real: MiniLM with its own weights, and the other families with random ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import transformers
from numpy.typing import NDArray
from tokenizers import Tokenizer

from exporter.errors import SourceError
from exporter.export import export
from exporter.spec import ExportSpec
from tests.support.tiny_models import add_sentence_modules, tiny_folder
from triton_models.card import Card, TextPreparation
from triton_models.repository.publish import Published
from triton_models.storage import open_storage

TEXTS = [
    "A dog chases a ball.",
    "",
    "Zürich, 東京, naïve — and a 😀",
    "The quick brown fox jumps over the lazy dog. " * 40,
    "What does this function return when the list is empty?",
]


def run(folder: Path, repository: Path, **options: Any) -> Published:
    spec = ExportSpec(str(folder), "text", str(repository), **{"max_batch_size": 8, **options})
    return export(spec, open_storage(spec.repository))


class Served:
    """A published version used as its card says, by nothing but the card, the tokenizer and the ONNX file."""

    def __init__(self, version: Path) -> None:
        card = Card.from_json((version / "card.json").read_text(), "card.json")
        assert isinstance(card.preparation, TextPreparation)
        self.preparation = card.preparation
        self.outputs = [tensor.name for tensor in card.outputs]
        self.tokenizer = Tokenizer.from_file(str(version / card.preparation.tokenizer))
        self.tokenizer.enable_truncation(card.preparation.max_tokens)
        self.session = onnxruntime.InferenceSession(version / "model.onnx", providers=["CPUExecutionProvider"])

    def __call__(self, texts: list[str]) -> NDArray[np.float32]:
        says = self.preparation
        self.tokenizer.enable_padding(pad_id=says.pad_id)
        rows = self.tokenizer.encode_batch(texts)
        inputs = {says.ids: np.array([row.ids for row in rows])}
        if says.mask is not None:
            inputs[says.mask] = np.array([row.attention_mask for row in rows])
        if says.types is not None:
            inputs[says.types] = np.array([row.type_ids for row in rows])
        found: NDArray[np.float32] = self.session.run(self.outputs, inputs)[0]
        return found


def by_hand(folder: Path, texts: list[str], max_tokens: int) -> NDArray[np.float32]:
    """Mean of the token vectors under the mask, divided by its length: written out, one text at a time."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, use_safetensors=True).eval()
    rows = []
    for text in texts:
        tokens = tokenizer(text, truncation=True, max_length=max_tokens, return_tensors="pt")
        with torch.no_grad():
            vectors = model(**tokens).last_hidden_state[0]
        mean = vectors.sum(0) / len(vectors)
        rows.append((mean / mean.pow(2).sum().sqrt()).numpy())
    return np.stack(rows)


def test_minilm_answers_like_mean_pooling_written_by_hand(minilm: Published, minilm_folder: Path) -> None:
    found = Served(Path(minilm.uri))(TEXTS)
    wanted = by_hand(minilm_folder, TEXTS, 256)

    assert found.shape == (len(TEXTS), 384)
    assert np.abs(found - wanted).max() < 2e-6
    assert (found * wanted).sum(axis=1).min() > 0.999999


def test_the_card_of_minilm_says_how_to_use_it(minilm: Published) -> None:
    card = minilm.card
    assert [str(tensor) for tensor in card.inputs] == [
        "input_ids INT64[?]",
        "attention_mask INT64[?]",
        "token_type_ids INT64[?]",
    ]
    assert [str(tensor) for tensor in card.outputs] == ["sentence_embedding FP32[384]"]
    says = card.preparation
    assert isinstance(says, TextPreparation)
    assert (says.max_tokens, says.pad_id, says.padding_free) == (256, 0, True)
    assert set(card.files) == {"model.onnx", "assets/tokenizer.json"}
    assert {check.batch for check in card.checks} == {1, 2, 7, 64}
    assert max(check.max_abs for check in card.checks) < 5e-6


def test_the_sizes_of_minilm_axes_have_names(minilm: Published) -> None:
    session = onnxruntime.InferenceSession(Path(minilm.uri) / "model.onnx", providers=["CPUExecutionProvider"])
    assert [one.shape for one in session.get_inputs()] == [["batch", "tokens"]] * 3
    assert [one.shape for one in session.get_outputs()] == [["batch", 384]]


@pytest.mark.parametrize(
    ("kind", "token_types", "takes_types", "max_tokens"),
    [
        ("BertModel", 2, True, 66),
        ("RobertaModel", 1, False, 65),
        ("DistilBertModel", 1, False, 66),
        ("MPNetModel", 1, False, 64),
        ("ElectraModel", 2, True, 66),
    ],
)
def test_encoders_of_every_family_give_their_last_hidden_state(
    kind: str, token_types: int, takes_types: bool, max_tokens: int, tmp_path: Path
) -> None:
    folder = tiny_folder(tmp_path / "tiny", kind, type_vocab_size=token_types)
    card = run(folder, tmp_path / "models").card

    types = ["token_type_ids"] if takes_types else []
    assert [tensor.name for tensor in card.inputs] == ["input_ids", "attention_mask", *types]
    assert [str(tensor) for tensor in card.outputs] == ["last_hidden_state FP32[?, 16]"]
    assert isinstance(card.preparation, TextPreparation)
    assert (card.preparation.max_tokens, card.preparation.padding_free) == (max_tokens, True)


@pytest.mark.parametrize("kind", ["BertForSequenceClassification", "RobertaForSequenceClassification"])
def test_classifiers_give_logits(kind: str, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny", kind, num_labels=3)
    published = run(folder, tmp_path / "models")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    served = Served(Path(published.uri))
    ids = torch.tensor([served.tokenizer.encode(TEXTS[0]).ids])

    assert [str(tensor) for tensor in published.card.outputs] == ["logits FP32[3]"]
    with torch.no_grad():
        assert np.allclose(served([TEXTS[0]]), model(ids).logits.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("mode", "formula"),
    [
        ("cls_token", lambda tokens: tokens[0]),
        ("max_tokens", lambda tokens: tokens.max(0).values),
        ("mean_sqrt_len_tokens", lambda tokens: tokens.sum(0) / len(tokens) ** 0.5),
    ],
)
def test_every_pooling_is_what_it_is_called(mode: str, formula: Any, tmp_path: Path) -> None:
    folder = add_sentence_modules(tiny_folder(tmp_path / "tiny", "BertModel"), {f"pooling_mode_{mode}": True})
    served = Served(Path(run(folder, tmp_path / "models").uri))
    model = transformers.AutoModel.from_pretrained(folder).eval()
    texts = ["The quick brown fox", "The"]

    for text, found in zip(texts, served(texts), strict=True):
        with torch.no_grad():
            pooled = formula(model(torch.tensor([served.tokenizer.encode(text).ids])).last_hidden_state[0])
        assert np.allclose(found, (pooled / pooled.norm()).numpy(), atol=1e-5)


def test_a_dense_layer_behind_the_pooling_is_in_the_graph(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny", "BertModel")
    add_sentence_modules(folder, {"pooling_mode_mean_tokens": True}, dense=5)
    published = run(folder, tmp_path / "models")

    assert [str(tensor) for tensor in published.card.outputs] == ["sentence_embedding FP32[5]"]
    assert np.allclose(np.linalg.norm(Served(Path(published.uri))(["The", "A"]), axis=1), 1, atol=1e-5)


def test_a_model_that_ignores_its_mask_is_not_called_free_of_padding(tmp_path: Path) -> None:
    folder = add_sentence_modules(
        tiny_folder(tmp_path / "tiny", "FNetModel", type_vocab_size=1), {"pooling_mode_mean_tokens": True}
    )
    card = run(folder, tmp_path / "models").card

    assert isinstance(card.preparation, TextPreparation)
    assert card.preparation.mask is None
    assert not card.preparation.padding_free
    assert [check for check in card.checks if check.name == "padded further" and check.max_abs > check.limit]


def test_texts_are_cut_where_the_user_says(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny", "BertModel")
    says = run(folder, tmp_path / "models", max_tokens=12).card.preparation
    assert isinstance(says, TextPreparation)
    assert says.max_tokens == 12
    with pytest.raises(SourceError, match="--max-tokens is 67, but tiny reads at most 66"):
        run(folder, tmp_path / "models", max_tokens=67)


def test_weights_that_would_be_random_are_refused(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny", "BertModel")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["BertForSequenceClassification"]}))
    with pytest.raises(SourceError, match=r"lacks 2 weights of the model \(classifier\.bias, classifier\.weight\)"):
        run(folder, tmp_path / "models")


def test_code_in_the_folder_runs_only_when_it_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_folder(tmp_path / "tiny", "BertModel")
    config = json.loads((folder / "config.json").read_text())
    proof = tmp_path / "it-ran"
    (folder / "modeling.py").write_text(
        f"from pathlib import Path\nPath({str(proof)!r}).touch()\n"
        "from transformers import BertModel\n\n\nclass Custom(BertModel):\n    pass\n"
    )
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "modeling.Custom"}}))
    monkeypatch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "cache"))

    with pytest.raises(SourceError, match="add --trust-remote-code"):
        run(folder, tmp_path / "models")
    assert not proof.exists()
    assert run(folder, tmp_path / "models", trust_remote_code=True).version == 1
    assert proof.exists()


def test_a_broken_weights_file_is_named(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "tiny", "BertModel")
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(SourceError, match="tiny cannot be loaded"):
        run(folder, tmp_path / "models")
