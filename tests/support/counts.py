"""What a server has counted, once it counts no more: it counts a request a moment after it has answered it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from triton_models.server.metrics import read_metrics

PATIENCE_S = 10.0
_AGAIN_S = 0.02
_ALIKE = 4

T = TypeVar("T")


def settled(read: Callable[[], T]) -> T:
    """What is read when it has been the same a few times in a row. Nobody may be asking meanwhile."""
    ends_s = time.monotonic() + PATIENCE_S
    found, alike = read(), 1
    while alike < _ALIKE:
        assert time.monotonic() < ends_s, f"after {PATIENCE_S:g} s the counts still change: {found}"
        time.sleep(_AGAIN_S)
        last, found = found, read()
        alike = alike + 1 if found == last else 1
    return found


def settled_total(metrics_url: str, name: str = "nv_inference_count", **labels: str) -> float:
    """The sum of a server's counter over all samples with these labels; that of the rows answered, if none is named."""
    return settled(lambda: read_metrics(metrics_url).total(name, **labels))
