from __future__ import annotations

import pytest

from exporter.proofs.asked import batches_up_to


@pytest.mark.parametrize(("largest", "proven"), [(1, [1]), (2, [1, 2]), (5, [1, 2, 5]), (64, [1, 2, 7, 64])])
def test_batches_end_with_the_largest(largest: int, proven: list[int]) -> None:
    assert batches_up_to(largest) == proven
