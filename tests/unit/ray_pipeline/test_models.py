from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa
import pytest

from ray_pipeline.errors import InputError, JobFileError
from ray_pipeline.models import JobModel, check_input_types, job_model
from ray_pipeline.sections import ModelSpec
from tests.support.job_models import image_model, pair_model, tensor_model, text_model, text_preparation, tokenizer
from tests.support.repositories import card, config
from triton_models.repository.publish import publish
from triton_models.repository.staging import staging
from triton_models.storage import Storage, open_storage
from triton_models.tensors import TensorSpec

IDS, MASK = TensorSpec("ids", "INT64", (-1,)), TensorSpec("mask", "INT64", (-1,))


@pytest.fixture
def repository(tmp_path: Path) -> Storage:
    repository = open_storage(str(tmp_path / "models"))
    text = dataclasses.replace(card(inputs=(IDS, MASK)), preparation=text_preparation())
    unbatched = dataclasses.replace(card(), max_batch_size=0)
    image = TensorSpec("x", "FP32", (3, -1, -1))
    for name, one in (("words", text), ("numbers", card()), ("one", unbatched), ("images", card(inputs=(image,)))):
        with staging(repository) as staged:
            (staged / "model.onnx").write_bytes(b"weights")
            (staged / "assets").mkdir()
            (staged / "assets" / "tokenizer.json").write_text(tokenizer())
            publish(repository, staged, one, config(name, one.inputs))
    return repository


def spec(name: str, inputs: dict[str, str], outputs: dict[str, str] | None = None) -> ModelSpec:
    return ModelSpec(name=name, inputs=inputs, outputs=outputs or {"y": "score"})


def test_a_model_of_text_brings_its_tokenizer(repository: Storage) -> None:
    model = job_model(spec("words", {"text": "body"}), repository, 1)
    assert (model.tokenizer, model.columns, model.results) == (tokenizer(), {"text": "body"}, {"y": "score"})
    assert [tensor.name for tensor in model.wanted] == ["y"]
    assert len(model.checksum) == 64


def test_texts_are_cut_unless_the_job_file_says_otherwise(repository: Storage) -> None:
    wanted = spec("words", {"text": "body"})
    assert job_model(wanted, repository, 1).truncate
    whole = ModelSpec.model_validate({**wanted.model_dump(exclude_unset=True), "truncate": False})
    assert not job_model(whole, repository, 1).truncate


@pytest.mark.parametrize("truncate", [True, False])
def test_what_reads_no_text_cannot_be_told_whether_to_cut(repository: Storage, truncate: bool) -> None:
    wanted = ModelSpec(name="numbers", inputs={"x": "a"}, outputs={"y": "b"}, truncate=truncate)
    with pytest.raises(JobFileError, match=r"models\.numbers\.truncate: the model reads no text"):
        job_model(wanted, repository, 1)


def test_a_model_of_tensors_wants_a_column_for_each_input(repository: Storage) -> None:
    model = job_model(spec("numbers", {"x": "values"}), repository, 1)
    assert (model.tokenizer, model.columns, model.max_batch_size) == ("", {"x": "values"}, 8)
    assert model.most_rows == 8


def test_a_model_whose_requests_are_never_put_together_gets_one_row_each(repository: Storage) -> None:
    model = job_model(spec("one", {"x": "values"}), repository, 1)
    assert (model.max_batch_size, model.most_rows) == (0, 1)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (spec("words", {"txt": "body"}), "models.words.inputs: the model has no 'txt'; it has text"),
        (spec("numbers", {"x": "a", "z": "b"}), "models.numbers.inputs: the model has no 'z'; it has x"),
        (spec("words", {"text": "body"}, {"z": "b"}), "models.words.outputs: the model has no 'z'; it has y"),
        (spec("images", {"x": "a"}), "models.images: input x FP32[3, ?, ?] has several moving axes"),
    ],
)
def test_a_job_file_that_does_not_fit_the_card_says_where(repository: Storage, wrong: ModelSpec, said: str) -> None:
    with pytest.raises(JobFileError) as refusal:
        job_model(wrong, repository, 1)
    assert said in str(refusal.value)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.null(), pa.dictionary(pa.int8(), pa.string())])
def test_text_is_read_from_columns_of_strings(kind: pa.DataType) -> None:
    check_input_types(text_model(), pa.schema([("body", kind)]))


@pytest.mark.parametrize("kind", [pa.int64(), pa.binary(), pa.list_(pa.string())])
def test_text_in_another_column_is_refused_before_anything_is_scored(kind: pa.DataType) -> None:
    with pytest.raises(InputError, match=r"column 'body' is .*; model 'words' reads text, which must be string"):
        check_input_types(text_model(), pa.schema([("body", kind)]))


def test_columns_of_tensors_are_checked_row_by_row() -> None:
    model: JobModel = tensor_model()
    check_input_types(model, pa.schema([("x", pa.string())]))


def test_both_columns_of_a_pair_hold_text() -> None:
    check_input_types(pair_model(), pa.schema([("query", pa.string()), ("passage", pa.large_string())]))
    with pytest.raises(InputError, match=r"column 'passage' is int64; model 'pairs' reads text"):
        check_input_types(pair_model(), pa.schema([("query", pa.string()), ("passage", pa.int64())]))


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.null()])
def test_images_are_read_from_columns_of_bytes(kind: pa.DataType) -> None:
    check_input_types(image_model(), pa.schema([("picture", kind)]))


@pytest.mark.parametrize("kind", [pa.string(), pa.list_(pa.uint8()), pa.struct([("bytes", pa.binary())])])
def test_images_in_another_column_are_refused_before_anything_is_scored(kind: pa.DataType) -> None:
    with pytest.raises(InputError, match=r"model 'pictures' reads encoded images, which must be binary"):
        check_input_types(image_model(), pa.schema([("picture", kind)]))
