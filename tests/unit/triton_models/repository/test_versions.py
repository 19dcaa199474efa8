from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.repositories import publish_bytes
from triton_models.errors import CardError, ConfigError, RepositoryError
from triton_models.repository.versions import models, newest, read_card, read_config, versions
from triton_models.storage import Storage, open_storage


@pytest.fixture
def repository(tmp_path: Path) -> Storage:
    repository = open_storage(str(tmp_path / "models"))
    for name in ("minilm", "minilm", "resnet"):
        publish_bytes(repository, name)
    return repository


def test_models_and_versions_are_listed_in_order(repository: Storage, tmp_path: Path) -> None:
    for version in ("10", "9", "03", "11.tmp"):
        (tmp_path / "models" / "minilm" / version).mkdir()
    (tmp_path / "models" / "not a model").mkdir()
    assert models(repository) == ["minilm", "resnet"]
    assert versions(repository, "minilm") == [1, 2, 9, 10]
    assert versions(repository, "missing") == []


def test_the_newest_version_is_the_highest_number_with_a_card(repository: Storage, tmp_path: Path) -> None:
    assert newest(repository, "minilm") == 2
    (tmp_path / "models" / "minilm" / "3").mkdir()
    assert newest(repository, "minilm") == 2


def test_a_model_whose_name_is_nearly_right_is_suggested(repository: Storage) -> None:
    with pytest.raises(RepositoryError, match="has no model 'minlm'; did you mean 'minilm'"):
        newest(repository, "minlm")
    with pytest.raises(RepositoryError, match="has no model 'minlm'; did you mean 'minilm'"):
        read_card(repository, "minlm", 1)


def test_a_model_that_is_like_none_gets_the_list(repository: Storage) -> None:
    with pytest.raises(RepositoryError, match="has no model 'bert'; it has minilm, resnet"):
        newest(repository, "bert")


def test_an_empty_repository_says_so(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="there is no model in it"):
        newest(open_storage(str(tmp_path / "nothing")), "bert")


def test_a_card_is_read_from_its_version(repository: Storage) -> None:
    assert [read_card(repository, "minilm", version).version for version in (1, 2)] == [1, 2]


def test_a_missing_version_lists_those_that_are_there(repository: Storage) -> None:
    with pytest.raises(RepositoryError, match="has no version 7 of minilm; it has 1, 2"):
        read_card(repository, "minilm", 7)


def test_a_version_without_a_card_says_how_to_get_one(repository: Storage, tmp_path: Path) -> None:
    (tmp_path / "models" / "minilm" / "2" / "card.json").unlink()
    with pytest.raises(
        RepositoryError, match=r"version 2 of minilm in .* has no card; publish it with `rayton export`"
    ):
        read_card(repository, "minilm", 2)


def test_a_broken_card_or_config_names_its_file(repository: Storage, tmp_path: Path) -> None:
    (tmp_path / "models" / "minilm" / "2" / "card.json").write_text("{")
    (tmp_path / "models" / "minilm" / "config.pbtxt").write_text("{")
    with pytest.raises(CardError, match=r"models/minilm/2/card.json"):
        read_card(repository, "minilm", 2)
    with pytest.raises(ConfigError, match=r"models/minilm/config.pbtxt"):
        read_config(repository, "minilm")


def test_a_model_that_is_not_there_has_no_config(repository: Storage) -> None:
    assert read_config(repository, "bert") is None
