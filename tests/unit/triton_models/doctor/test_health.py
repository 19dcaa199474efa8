from __future__ import annotations

import pytest

from triton_models.doctor.health import current_of_each
from triton_models.server.errors import BrokenModelError
from triton_models.server.health import LoadedModel

OLD, NEW = LoadedModel("a", "1", True, ""), LoadedModel("a", "2", True, "")
TORN = LoadedModel("a", "3", False, "torn")


def test_each_model_counts_by_its_newest_version_that_is_ready() -> None:
    other = LoadedModel("b", "7", True, "")
    assert current_of_each([OLD, NEW, TORN, other]) == [NEW, other]
    assert current_of_each([]) == []


def test_a_model_without_a_ready_version_is_an_error_that_says_why() -> None:
    with pytest.raises(BrokenModelError, match="no version of a is ready: torn; the server's log says more"):
        current_of_each([TORN, LoadedModel("b", "1", True, "")])
    with pytest.raises(BrokenModelError, match="no version of a is ready: it is being loaded"):
        current_of_each([LoadedModel("a", "1", False, "")])
