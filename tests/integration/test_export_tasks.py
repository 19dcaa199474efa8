"""One exported model for each task of Hugging Face, all in one real server: asked directly, and by a job."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image
from sentence_transformers import CrossEncoder
from tokenizers import Tokenizer
from tritonclient.grpc import InferenceServerClient

from exporter.errors import SourceError
from exporter.export import export
from exporter.sources.hugging_face import open_folder
from exporter.spec import ExportSpec
from tests.support.jobs import rejected_rows, score, scored_rows, write_job
from tests.support.photographs import photographs
from tests.support.tiny_models import add_sentence_modules, tiny_cross_encoder, tiny_folder, tiny_image_folder
from tests.support.triton import infer, start
from triton_models.card import ImagePreparation, TextPreparation
from triton_models.pixels import pixels
from triton_models.repository.versions import read_card
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime
from triton_models.storage import Storage, open_storage

PAIRS = [
    ("The quick brown fox", "jumps over the lazy dog."),
    ("Yes.", ""),
    ("", "believes but everybody reads"),
    ("The quick brown fox jumps over the lazy dog. " * 12, "goes on about trains"),
    ("goes on about trains", "stations whose clocks disagree, " * 30),
]
JOB = """\
name = "reranker"
inputs  = { text = "query", text_pair = "passage" }
outputs = { scores = "score" }

[[models]]
name = "pictures"
inputs  = { image = "picture" }
outputs = { logits = "logits" }"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model folder for each task."""
    root = tmp_path_factory.mktemp("folders")
    names = {0: "O", 1: "B-PER", 2: "I-PER"}
    sentences = tiny_folder(root / "sentences", "BertModel")
    return {
        "features": tiny_folder(root / "features", "RobertaModel", type_vocab_size=1),
        "texts": tiny_folder(root / "texts", "RobertaForSequenceClassification", num_labels=3),
        "tokens": tiny_folder(root / "tokens", "DistilBertForTokenClassification", id2label=names),
        "sentences": add_sentence_modules(sentences, {"pooling_mode_mean_tokens": True}),
        "reranker": tiny_cross_encoder(root / "reranker"),
        "pictures": tiny_image_folder(root / "pictures", "ConvNextForImageClassification", num_labels=3),
    }


@pytest.fixture(scope="module")
def repository(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """A repository with all of them."""
    found = open_storage(str(tmp_path_factory.mktemp("tasks") / "models"))
    for name, folder in folders.items():
        export(ExportSpec(str(folder), name, found.uri, max_batch_size=8), found)
    return found


@pytest.fixture(scope="module")
def server(runtime: Runtime, repository: Storage) -> Iterator[NodeServer]:
    """A server with all of them."""
    with start(runtime, Path(repository.uri)) as found:
        yield found


@pytest.fixture(scope="module")
def client(server: NodeServer) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(server.grpc_url) as found:
        yield found


def test_the_card_says_what_its_classes_are_called(repository: Storage) -> None:
    card = read_card(repository, "tokens", 1)
    assert card.labels == ("O", "B-PER", "I-PER")
    assert [str(tensor) for tensor in card.outputs] == ["logits FP32[?, 3]"]
    assert isinstance(card.preparation, TextPreparation)
    assert card.preparation.padding_free


def test_a_cross_encoder_is_proven_on_pairs_and_its_padding_too(repository: Storage) -> None:
    card = read_card(repository, "reranker", 1)
    assert card.columns == ("text", "text_pair")
    assert [str(tensor) for tensor in card.outputs] == ["scores FP32[]"]
    assert isinstance(card.preparation, TextPreparation)
    assert (card.preparation.pair, card.preparation.padding_free) == (True, True)
    assert {check.name for check in card.checks} >= {"sentences", "padded further"}


def test_a_classifier_reads_pairs_where_the_user_says_so(folders: dict[str, Path]) -> None:
    source = open_folder(folders["texts"], None, False, pair=True)
    assert isinstance(source.preparation, TextPreparation)
    assert source.preparation.pair
    assert [tensor.name for tensor in source.outputs] == ["logits"]
    with pytest.raises(SourceError, match="does not classify texts; --pair is for classifiers"):
        open_folder(folders["features"], None, False, pair=True)


def asked(client: InferenceServerClient, repository: Storage, model: str, text: str) -> NDArray[np.float32]:
    """The answer to one text, prepared by nothing but the card and the tokenizer of the version."""
    says = read_card(repository, model, 1).preparation
    assert isinstance(says, TextPreparation)
    tokenizer = Tokenizer.from_file(f"{repository.uri}/{model}/1/{says.tokenizer}")
    tokenizer.enable_truncation(says.max_tokens)
    tokens = tokenizer.encode(text)
    inputs = {says.ids: tokens.ids, says.mask: tokens.attention_mask, says.types: tokens.type_ids}
    arrays: dict[str, Any] = {name: np.array([values]) for name, values in inputs.items() if name is not None}
    (found,) = infer(client, model, **arrays).values()
    return found


@pytest.mark.parametrize(
    ("model", "loader", "output"),
    [
        ("features", "AutoModel", "last_hidden_state"),
        ("texts", "AutoModelForSequenceClassification", "logits"),
        ("tokens", "AutoModelForTokenClassification", "logits"),
    ],
)
@pytest.mark.parametrize("text", ["The quick brown fox", "believes but everybody reads, " * 30])
def test_texts_are_answered_as_by_pytorch(
    client: InferenceServerClient,
    repository: Storage,
    folders: dict[str, Path],
    model: str,
    loader: str,
    output: str,
    text: str,
) -> None:
    found = asked(client, repository, model, text)
    says = read_card(repository, model, 1).preparation
    assert isinstance(says, TextPreparation)
    tokenizer = Tokenizer.from_file(str(folders[model] / "tokenizer.json"))
    tokenizer.enable_truncation(says.max_tokens)
    with torch.no_grad():
        answer = (
            getattr(transformers, loader)
            .from_pretrained(folders[model])
            .eval()(torch.tensor([tokenizer.encode(text).ids]))
        )
    wanted = getattr(answer, output).numpy()
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 1e-5


def test_sentences_have_vectors_of_length_one(client: InferenceServerClient, repository: Storage) -> None:
    found = asked(client, repository, "sentences", "The quick brown fox")
    assert found.shape == (1, 16)
    assert abs(np.linalg.norm(found) - 1) < 1e-5


def wanted_logits(folder: Path, content: bytes) -> NDArray[np.float32]:
    processor = transformers.ConvNextImageProcessorPil.from_pretrained(folder)
    model = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        inputs = processor(images=Image.open(io.BytesIO(content)), return_tensors="pt")
        found: NDArray[np.float32] = model(**inputs).logits.numpy()[0]
    return found


def test_photographs_are_classified_as_by_pytorch(
    client: InferenceServerClient, repository: Storage, folders: dict[str, Path]
) -> None:
    says = read_card(repository, "pictures", 1).preparation
    assert isinstance(says, ImagePreparation)
    found = infer(client, "pictures", image=np.stack([pixels(content, says) for content in photographs()]))["logits"]
    wanted = np.stack([wanted_logits(folders["pictures"], content) for content in photographs()])
    assert np.abs(wanted[0] - wanted[1]).max() > 1e-3
    assert np.abs(found - wanted).max() < 1e-5


def test_a_job_scores_pairs_and_pictures_and_rejects_what_is_neither(
    server: NodeServer, repository: Storage, folders: dict[str, Path], home: Path, tmp_path: Path
) -> None:
    china, flower = photographs()
    rows: list[dict[str, Any]] = [{"query": query, "passage": passage, "picture": china} for query, passage in PAIRS]
    rows[1]["picture"] = flower
    broken = [{**rows[0], "passage": None}, {**rows[0], "picture": china[:5000]}, {**rows[0], "picture": b"a text"}]
    table = pa.Table.from_pylist([{"id": number, **row} for number, row in enumerate([*rows, *broken])])
    (tmp_path / "input").mkdir()
    pq.write_table(table, tmp_path / "input" / "rows.parquet")
    output = str(tmp_path / "output")
    score(
        write_job(
            tmp_path / "job.toml",
            input=tmp_path / "input",
            output=output,
            triton={"url": server.grpc_url, "repository": repository.uri},
            model=JOB,
        ),
        home,
    )

    scored = scored_rows(output)
    assert scored["id"].to_pylist() == [0, 1, 2, 3, 4]
    assert scored.schema.field("score").type == pa.float32()
    wanted = CrossEncoder(str(folders["reranker"]), local_files_only=True).predict(PAIRS)
    assert np.ptp(wanted) > 0.3
    assert np.abs(scored["score"].to_numpy() - wanted).max() < 1e-5
    logits = np.array(scored["logits"].to_pylist())
    assert np.abs(logits[1] - wanted_logits(folders["pictures"], flower)).max() < 1e-5
    assert np.abs(logits[[0, 2, 3, 4]] - wanted_logits(folders["pictures"], china)).max() < 1e-5
    assert [row["reason"] for row in rejected_rows(output)] == [
        "column 'passage': null is not text",
        "column 'picture': the image cannot be decoded: image file is truncated (0 bytes not processed)",
        "column 'picture': 6 bytes that are no image; read are JPEG, PNG, WEBP",
    ]
