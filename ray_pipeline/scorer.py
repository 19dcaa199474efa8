"""Scoring inside anybody's own Ray Data pipeline."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from ray_pipeline.errors import ScorerError
from ray_pipeline.models import JobModel, check_input_types, job_model
from ray_pipeline.prepare.rows import prepared_columns
from ray_pipeline.rejection import Rejections
from ray_pipeline.scoring.actor import Scoring, connected_scorers
from ray_pipeline.scoring.model import ModelScorer
from ray_pipeline.sections import ModelSpec, OnNonfinite, TritonSpec
from ray_pipeline.served import repository_behind, served_versions
from ray_pipeline.spec import explained
from ray_pipeline.telemetry.meter import RayMeter, node_address
from ray_pipeline.telemetry.tally import Tally
from triton_models.home import rayton_home
from triton_models.storage import Storage, open_storage

ERROR = "error"
"""The column that says why a row has no answer."""


class TritonScorer:
    """Scores the batches of a Ray Data pipeline with a model on a running Triton server.

        ds.map_batches(
            TritonScorer,
            fn_constructor_kwargs=dict(
                model="minilm",
                url="localhost:8001",
                inputs={"text": "body"},
                outputs={"sentence_embedding": "embedding"},
            ),
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=1),
        )

    Rows are prepared as the card of the model says (texts tokenized, images decoded), sorted by length, sent in as many
    batches at once as keep the server busy, sent again while the server is away, and put back in order. The same table
    comes back with a column for each output. Batches of some thousand rows are good ones.

    `url` is the gRPC address of the server, seen from the actor. `inputs` maps what the card asks for to columns,
    `outputs` output tensors to new columns. `repository` is the folder or bucket with the model's card; it is not
    needed where a `rayton serve` on the same machine runs the server. `version` None is the newest that the server has
    ready at the first batch, and stays so. With `on_bad_rows="raise"` a row that cannot be scored is an error; with
    `"null"` its outputs are null and a column `error` says why, null for all other rows. An answer with NaN or infinite
    numbers is such a row unless `keep_nonfinite`; so is a text with more tokens than the model reads, unless `truncate`
    cuts it. `timeout_s` is how long a server that does not answer is waited for, `endpoint_url` where an S3-compatible
    store answers that is not Amazon's. `tls` and `control_key_file` are what they are under `[triton]` of a job file,
    as in `{"ca": "/etc/rayton/ca.pem"}`.

    The first batch connects. Raises RaytonError: ScorerError for wrong arguments, batches and rows, InputError for
    columns of other types than the model reads, FatalError for the server, others for the repository.
    """

    def __init__(
        self,
        model: str,
        url: str,
        inputs: Mapping[str, str],
        outputs: Mapping[str, str],
        *,
        repository: str | None = None,
        version: int | None = None,
        on_bad_rows: Literal["raise", "null"] = "raise",
        keep_nonfinite: bool = False,
        truncate: bool = True,
        timeout_s: float = 60.0,
        endpoint_url: str | None = None,
        tls: Mapping[str, str] | None = None,
        control_key_file: str | None = None,
    ) -> None:
        # Checked with the first batch: Ray tells of an error here only that an actor died.
        self._wanted: dict[str, Any] = {
            "name": model,
            "version": version,
            "inputs": dict(inputs),
            "outputs": dict(outputs),
            # Said of a model that reads no text it is a mistake.
            **({} if truncate else {"truncate": False}),
        }
        self._url, self._timeout_s, self._repository, self._endpoint_url = url, timeout_s, repository, endpoint_url
        self._access = {"tls": tls and dict(tls), "control_key_file": control_key_file}
        self._on_bad_rows, self._keep_nonfinite = on_bad_rows, keep_nonfinite
        self._connected: tuple[JobModel, ModelScorer, Tally] | None = None

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The batch with its answers."""
        if not isinstance(batch, pa.Table):
            raise ScorerError(
                f"TritonScorer reads Arrow tables and got a {type(batch).__name__}; "
                'pass batch_format="pyarrow" to map_batches'
            )
        self._connected = self._connected or self._connect()
        model, scorer, tally = self._connected
        self._check_columns(batch, model)
        rejections: Rejections = [None] * batch.num_rows
        prepared = prepared_columns(_plain(batch, model), model, rejections)
        good = np.array([one is None for one in rejections], np.bool_)
        scored = scorer.score(pa.table(prepared), good, tally.chunk())
        for row, rejection in scored.refused.items():
            rejections[row] = rejection
        answers = scored.columns
        if self._on_bad_rows == "null":
            answers[ERROR] = pa.array([one and one.message for one in rejections], pa.string())
        else:
            _check_all_good(rejections)
        for name, column in answers.items():
            batch = batch.append_column(name, column)
        return batch

    def _connect(self) -> tuple[JobModel, ModelScorer, Tally]:
        if self._on_bad_rows not in ("raise", "null"):
            raise ScorerError(f'TritonScorer: on_bad_rows is {self._on_bad_rows!r}; give "raise" or "null"')
        try:
            spec = ModelSpec.model_validate(self._wanted)
            server = TritonSpec.model_validate({"url": self._url, "timeout_s": self._timeout_s, **self._access})
        except ValidationError as error:
            raise ScorerError(f"TritonScorer: {explained(error.errors()[0])}") from error
        repository = self._repository_with_card()
        (version,) = served_versions(self._url, [(spec.name, spec.version)], self._timeout_s, server.credentials)
        model = job_model(spec, repository, version)
        on_nonfinite: OnNonfinite = "keep" if self._keep_nonfinite else "reject"
        scoring = Scoring(self._timeout_s, on_nonfinite=on_nonfinite, credentials=server.credentials)
        tally = Tally(RayMeter(type(self).__name__, node_address()))
        (scorer,) = connected_scorers([model], self._url, scoring, tally)
        return model, scorer, tally

    def _repository_with_card(self) -> Storage:
        found = self._repository or repository_behind(self._url, rayton_home(os.environ))
        if found is None:
            raise ScorerError(
                f"TritonScorer: no `rayton serve` on this machine tells which repository the server at {self._url} "
                "loads; give `repository`, the folder or bucket with the model's card"
            )
        return open_storage(found, self._endpoint_url)

    def _check_columns(self, batch: pa.Table, model: JobModel) -> None:
        there = batch.column_names
        missing = [column for column in model.columns.values() if column not in there]
        if missing:
            raise ScorerError(f"model {model.name!r} reads the column {missing[0]!r}; there are {', '.join(there)}")
        new = [*model.results.values(), *([ERROR] if self._on_bad_rows == "null" else [])]
        twice = [column for column in new if column in there or new.count(column) > 1]
        if twice:
            raise ScorerError(f"the batch would have the column {twice[0]!r} twice; rename one of them")
        check_input_types(model, batch.schema)


def _check_all_good(rejections: Rejections) -> None:
    bad = [(row, one.message) for row, one in enumerate(rejections) if one is not None]
    if bad:
        row, message = bad[0]
        raise ScorerError(
            f"{len(bad)} of the {len(rejections)} rows of a batch cannot be scored, the first of them row {row}: "
            f'{message}. With on_bad_rows="null" such rows get nulls and a column {ERROR!r} says why'
        )


def _plain(batch: pa.Table, model: JobModel) -> pa.Table:
    """The columns that the model reads; tensors of fixed shape, which are types of their own, as lists."""
    names = dict.fromkeys(model.columns.values())
    return pa.table({name: _as_lists(batch[name]) for name in names})


def _as_lists(column: pa.ChunkedArray) -> pa.ChunkedArray:
    shape = getattr(column.type, "shape", None)
    if not isinstance(column.type, pa.BaseExtensionType) or shape is None:
        return column
    size = math.prod(shape)
    return pa.chunked_array(
        [pa.FixedSizeListArray.from_arrays(chunk.storage.flatten(), size) for chunk in column.chunks],
        pa.list_(column.type.storage_type.value_type, size),
    )
