from __future__ import annotations

from triton_models.server.health import LoadedModel, current_models


def test_clients_who_name_no_version_get_the_newest_that_is_ready() -> None:
    old, new = LoadedModel("a", "9", True, ""), LoadedModel("a", "10", True, "")
    broken, other = LoadedModel("a", "11", False, "torn"), LoadedModel("b", "1", True, "")
    assert current_models([old, new, broken, other]) == [new, other]
    assert current_models([broken]) == []
