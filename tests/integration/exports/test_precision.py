"""Lower precisions of real models: they pass their gate, weigh less, and a real server answers with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
from tritonclient.grpc import InferenceServerClient

from exporter.errors import ParityError
from exporter.export import export
from exporter.exported import Exported
from exporter.preprocess import TextInputs
from exporter.sources.tokenizer import load_tokenizer
from exporter.spec import ExportSpec
from tests.support.factories.digits import accuracy, split
from tests.support.triton import infer, start
from triton_models.card import TextPreparation
from triton_models.repository.publish import Published
from triton_models.server.runtime import Runtime
from triton_models.storage import open_storage

DIGITS = "tests.support.factories.digits:trained"
"""As a module: it is imported, and trained, once for all of these tests."""
ROWS = 64


def published(source: str, repository: Path, **options: object) -> Published:
    spec = ExportSpec(source, "model", str(repository), max_batch_size=8, **options)  # type: ignore[arg-type]
    return export(spec, open_storage(spec.repository))


def test_minilm_in_8_bits_is_served_and_stays_near_its_32_bits(
    runtime: Runtime, minilm_folder: Path, minilm_repository: Path, texts: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "models"
    int8 = published(str(minilm_folder), repository, precision="int8")
    fp32_figures, int8_figures = int8.card.precision.figures
    assert isinstance(int8.card.preparation, TextPreparation)
    tokenizer = load_tokenizer(minilm_folder, int8.card.preparation.max_tokens)
    batch = TextInputs(tokenizer, int8.card.preparation, tokenizer.get_vocab_size()).of_texts(
        pq.read_table(texts).column("body").to_pylist()[:ROWS]
    )
    wanted = Exported(minilm_repository / "minilm" / "1" / "model.onnx").answers(batch)["sentence_embedding"]
    with start(runtime, repository) as server, InferenceServerClient(server.grpc_url) as client:
        parts = [
            infer(client, "model", (), **{name: array[at : at + 8] for name, array in batch.items()})
            for at in range(0, ROWS, 8)
        ]
        alone = infer(client, "model", (), **{name: array[:1] for name, array in batch.items()})
    found = np.concatenate([part["sentence_embedding"] for part in parts])

    cosines = (found * wanted).sum(axis=1)  # both are of length 1
    print(f"worst cosine of {ROWS} texts {cosines.min():.4f}; {fp32_figures} {int8_figures}")
    assert cosines.min() >= 0.98
    assert int8_figures.bytes < 0.3 * fp32_figures.bytes
    # Each row has its own range, so its neighbours do not matter.
    np.testing.assert_allclose(alone["sentence_embedding"], found[:1], atol=1e-4)


@pytest.mark.parametrize(("precision", "share"), [("fp16", 0.7), ("bf16", 0.75), ("int8", 0.5)])
def test_the_digits_network_keeps_its_accuracy(precision: str, share: float, tmp_path: Path) -> None:
    (known, _), (images, labels) = split()
    np.savez(tmp_path / "known.npz", image=known[:200])
    calibration = {"calibration": str(tmp_path / "known.npz")} if precision == "int8" else {}
    version = published(DIGITS, tmp_path / "models", precision=precision, **calibration)
    fp32, lowered = version.card.precision.figures
    answers = Exported(Path(version.uri) / "model.onnx").answers({"image": images})["logits"].astype(np.float32)

    assert accuracy(answers, labels) >= 0.97
    assert lowered.bytes < share * fp32.bytes
    operators = {node.op_type for node in onnx.load(Path(version.uri) / "model.onnx").graph.node}
    assert ("MatMulIntegerToFloat" in operators, "QuantizeLinear" in operators) == (precision == "int8",) * 2


def test_a_precision_that_moves_the_answers_too_far_publishes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match=r"moves the answers too far|differs by"):
        published(DIGITS, tmp_path / "models", precision="int8", min_cosine=0.9999999)
    assert not list((tmp_path / "models").rglob("model.onnx"))
