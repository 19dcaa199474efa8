from __future__ import annotations

import pytest

from triton_models.errors import RepositoryError
from triton_models.repository import layout


@pytest.mark.parametrize("name", ["minilm", "all-MiniLM-L6-v2", "7b", "a.b_c"])
def test_names_that_triton_and_object_stores_take_are_good(name: str) -> None:
    assert layout.checked_name(name) == name


@pytest.mark.parametrize("name", ["", ".hidden", "_meta", "-x", "a/b", "..", "a b", "ü", "a\n"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(RepositoryError, match="cannot be the name of a model"):
        layout.checked_name(name)


@pytest.mark.parametrize(
    ("folder", "version"), [("1", 1), ("12", 12), ("0", None), ("01", None), ("3.tmp", None), ("assets", None)]
)
def test_a_version_is_a_plain_number(folder: str, version: int | None) -> None:
    assert layout.version_number(folder) == version


def test_everything_of_a_model_lies_in_its_folder() -> None:
    assert layout.config_path("m") == "m/config.pbtxt"
    assert layout.version_path("m", 3) == "m/3"
    assert layout.card_path("m", 3) == "m/3/card.json"
