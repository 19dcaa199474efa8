"""What a job needs to know of each of its models: its card, its live tensors, and which columns they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from ray_pipeline.errors import InputError, JobFileError
from ray_pipeline.sections import ModelSpec
from triton_models.card import Card, ImagePreparation, Preparation, TextPreparation
from triton_models.repository import layout
from triton_models.repository.versions import read_card
from triton_models.storage import Storage
from triton_models.tensors import TensorSpec


@dataclass(frozen=True)
class JobModel:
    """One model of a job at the version that was fixed when the job began. Plain values: it travels to every worker.

    `columns` maps what the card asks for to input columns, `results` output tensors to output columns. `tokenizer` is
    the text of `tokenizer.json`, empty where no text is prepared; what is too long for the model is cut, or rejected
    without `truncate`. `checksum` is the SHA-256 of `model.onnx`. `max_batch_size` is 0 for a model whose answers are
    about the whole request: each row is then a request of its own.
    """

    name: str
    version: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int
    preparation: Preparation
    columns: dict[str, str]
    results: dict[str, str]
    tokenizer: str
    truncate: bool
    checksum: str

    @property
    def most_rows(self) -> int:
        """The most rows that one request may hold."""
        return self.max_batch_size or 1

    @cached_property
    def wanted(self) -> tuple[TensorSpec, ...]:
        """The outputs that the job asked for, in its order."""
        by_name = {tensor.name: tensor for tensor in self.outputs}
        return tuple(by_name[name] for name in self.results)


def job_model(spec: ModelSpec, repository: Storage, version: int) -> JobModel:
    """Reads the card of a version and checks that the job file fits it.

    Raises RepositoryError or CardError for the version, JobFileError for the job file.
    """
    card = read_card(repository, spec.name, version)
    where = f"models.{spec.name}"
    _check_names(f"{where}.inputs", spec.inputs, card.columns, required=True)
    _check_names(f"{where}.outputs", spec.outputs, [tensor.name for tensor in card.outputs], required=False)
    if "truncate" in spec.model_fields_set and not isinstance(card.preparation, TextPreparation):
        raise JobFileError(f"{where}.truncate: the model reads no text, so that nothing can be too long; leave it out")
    for tensor in card.inputs:
        if tensor.shape.count(-1) > 1:
            raise JobFileError(f"{where}: input {tensor} has several moving axes; a column can fill only one")
    return JobModel(
        name=spec.name,
        version=version,
        inputs=card.inputs,
        outputs=card.outputs,
        max_batch_size=card.max_batch_size,
        preparation=card.preparation,
        columns=dict(spec.inputs),
        results=dict(spec.outputs),
        tokenizer=_tokenizer(card, repository.at(layout.version_path(spec.name, version))),
        truncate=spec.truncate,
        checksum=card.files["model.onnx"],
    )


def check_input_types(model: JobModel, schema: pa.Schema) -> None:
    """Raises InputError if a column cannot hold what the model asks for, whatever its rows say."""
    if isinstance(model.preparation, TextPreparation):
        reads, wanted, fits = "text", "string", _holds_text
    elif isinstance(model.preparation, ImagePreparation):
        reads, wanted, fits = "encoded images", "binary", _holds_bytes
    else:
        return
    for column in model.columns.values():
        kind = schema.field(column).type
        if not pa.types.is_null(kind) and not fits(kind):
            raise InputError(f"column {column!r} is {kind}; model {model.name!r} reads {reads}, which must be {wanted}")


def _holds_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _holds_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _tokenizer(card: Card, version: Storage) -> str:
    if not isinstance(card.preparation, TextPreparation):
        return ""
    return version.read(card.preparation.tokenizer).decode()


def _check_names(where: str, given: dict[str, str], known: list[str] | tuple[str, ...], *, required: bool) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise JobFileError(f"{where}: the model has no {unknown[0]!r}; it has {', '.join(known)}")
    missing = [name for name in known if name not in given]
    if required and missing:
        raise JobFileError(f"{where}: {missing[0]!r} needs a column")
