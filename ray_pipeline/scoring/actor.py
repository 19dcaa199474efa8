"""The Ray actor that scores: one on each node with a server, one connection for its whole life."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from ray_pipeline.chunk import INTERNAL, REASON, STAGE
from ray_pipeline.models import JobModel
from ray_pipeline.retry import waited_for
from ray_pipeline.scoring.model import ModelScorer
from ray_pipeline.transport.grpc import GrpcTransport


class Scorer:
    """Takes prepared chunks and gives scored ones, one at a time and whole.

    `find_server` gives the address of this node's server. Raises FatalError if it is not ready within `timeout_s`.
    """

    def __init__(self, models: Sequence[JobModel], find_server: Callable[[], str], timeout_s: float) -> None:
        transport = GrpcTransport(find_server())
        waited_for(lambda: transport.check_ready(timeout_s), timeout_s)
        self._scorers = [ModelScorer(model, transport, timeout_s) for model in models]

    def __call__(self, table: pa.Table) -> pa.Table:
        """Adds the output columns of every model and drops the prepared ones; a refused row gets its reason."""
        return score_chunk(table, self._scorers)


def score_chunk(table: pa.Table, scorers: Sequence[ModelScorer]) -> pa.Table:
    """Scores a prepared chunk with each model in turn; a row that one refused is not sent to the next."""
    reasons: list[str | None] = table[REASON].to_pylist()
    stages: list[str | None] = table[STAGE].to_pylist()
    answers: dict[str, pa.Array] = {}
    for scorer in scorers:
        scored = scorer.score(table, np.array([reason is None for reason in reasons]))
        answers.update(scored.columns)
        for row, reason in scored.refused.items():
            reasons[row], stages[row] = reason, "score"
    carried = {name: table[name] for name in table.column_names if not _is_prepared(name)}
    carried |= {STAGE: pa.array(stages, pa.string()), REASON: pa.array(reasons, pa.string())}
    return pa.table({**carried, **answers})


def _is_prepared(name: str) -> bool:
    return name.startswith(INTERNAL) and ":" in name
