"""The Ray actor that scores: one on each node with a server, one connection for its whole life."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from ray_pipeline.chunk import INTERNAL, STAGE
from ray_pipeline.errors import FatalError
from ray_pipeline.models import JobModel
from ray_pipeline.rejection import Rejection, rejection_columns, rejections_of, staged
from ray_pipeline.retry import waited_for
from ray_pipeline.scoring.model import ModelScorer
from ray_pipeline.transport.grpc import GrpcTransport
from triton_models.config.tensors import inputs_of, outputs_of


class Scorer:
    """Takes prepared chunks and gives scored ones, one at a time and whole.

    `find_server` gives the address of this node's server. The first chunk connects: it raises FatalError if the server
    is not ready within `timeout_s`, or serves other tensors than the cards of the models say.
    """

    def __init__(self, models: Sequence[JobModel], find_server: Callable[[], str], timeout_s: float) -> None:
        self._models, self._find_server, self._timeout_s = models, find_server, timeout_s
        self._scorers: list[ModelScorer] = []

    def __call__(self, table: pa.Table) -> pa.Table:
        """Adds the output columns of every model and drops the prepared ones; a refused row gets its reason."""
        if not self._scorers:
            # Not in the constructor: Ray tells of an error there only that an actor died.
            self._scorers = self._connected()
        return score_chunk(table, self._scorers)

    def _connected(self) -> list[ModelScorer]:
        transport = GrpcTransport(self._find_server())
        waited_for(lambda: transport.check_ready(self._timeout_s), self._timeout_s)
        served = [_as_served(model, transport, self._timeout_s) for model in self._models]
        return [ModelScorer(model, transport, self._timeout_s) for model in served]


def score_chunk(table: pa.Table, scorers: Sequence[ModelScorer]) -> pa.Table:
    """Scores a prepared chunk with each model in turn; a row that one refused is not sent to the next."""
    rejections = rejections_of(table)
    answers: dict[str, pa.Array] = {}
    for scorer in scorers:
        scored = scorer.score(table, np.array([rejection is None for rejection in rejections]))
        answers.update(scored.columns)
        for row, message in scored.refused.items():
            rejections[row] = Rejection("RefusedError", message)
    carried = {name: table[name] for name in table.column_names if not _is_prepared(name)}
    carried |= rejection_columns(rejections, staged(rejections, table[STAGE].to_pylist(), "score"))
    return pa.table({**carried, **answers})


def _as_served(model: JobModel, transport: GrpcTransport, timeout_s: float) -> JobModel:
    """The model with the largest batch that its operator allows.

    Raises FatalError if the server's tensors are not those of the card, or if only one of them puts requests together.
    """
    live = waited_for(lambda: transport.config(model.name, model.version, timeout_s), timeout_s)
    there = {*inputs_of(live), *outputs_of(live)}
    missing = [tensor for tensor in (*model.inputs, *model.wanted) if tensor not in there]
    if missing or (live.max_batch_size == 0) != (model.max_batch_size == 0):
        unlike = "puts requests together" if live.max_batch_size > 0 else "takes no batches"
        what = f"has no {missing[0]}" if missing else unlike
        raise FatalError(
            f"version {model.version} of {model.name!r} on {transport.address} {what}, unlike its card in the "
            "repository; does the server load another repository?"
        )
    return replace(model, max_batch_size=live.max_batch_size)


def _is_prepared(name: str) -> bool:
    return name.startswith(INTERNAL) and ":" in name
