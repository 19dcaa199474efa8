from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.repositories import publish_bytes, store_in
from triton_models.config.pbtxt import from_pbtxt, to_pbtxt
from triton_models.errors import RepositoryError
from triton_models.repository.wanted import stamps, wanted
from triton_models.storage import Storage


@pytest.fixture
def repository(tmp_path: Path) -> Storage:
    """Versions 1 to 4 of `a`; the upload of the last one has not ended."""
    repository = store_in(tmp_path)
    for version in range(1, 5):
        publish_bytes(repository, "a", b"%d" % version)
    repository.delete("a/4/card.json")
    return repository


def with_policy(repository: Storage, policy: str) -> Storage:
    config = from_pbtxt(repository.read("a/config.pbtxt").decode(), "")
    config.ClearField("version_policy")
    repository.write("a/config.pbtxt", f"{to_pbtxt(config)} version_policy {{ {policy} }}".encode())
    return repository


@pytest.mark.parametrize(
    ("policy", "versions"),
    [
        ("", [3]),
        ("latest { num_versions: 1 }", [3]),
        ("latest { }", [3]),
        ("latest { num_versions: 2 }", [2, 3]),
        ("latest { num_versions: 9 }", [1, 2, 3]),
        ("all { }", [1, 2, 3]),
        ("specific { versions: [3, 1] }", [1, 3]),
    ],
)
def test_the_policy_chooses_among_the_versions_that_are_whole(
    repository: Storage, policy: str, versions: list[int]
) -> None:
    model = wanted(with_policy(repository, policy), "a")
    assert sorted(model.cards) == versions
    assert model.cards[3] == repository.read("a/3/card.json")
    config = from_pbtxt(model.config, "")
    assert list(config.version_policy.specific.versions) == versions
    assert config.input[0].name == "x"


def test_a_version_that_is_asked_for_and_not_whole_is_named(repository: Storage) -> None:
    with pytest.raises(RepositoryError, match="asks for version 4, which is not there; correct its version_policy"):
        wanted(with_policy(repository, "specific { versions: [1, 4] }"), "a")


def test_a_model_without_a_whole_version_is_named(repository: Storage) -> None:
    repository.delete(*(f"a/{version}/card.json" for version in (1, 2, 3)))
    with pytest.raises(RepositoryError, match="no version of a that is complete; export it again"):
        wanted(repository, "a")


def test_an_unknown_model_and_a_name_that_no_model_has_are_refused(repository: Storage) -> None:
    with pytest.raises(RepositoryError, match="has no model 'b'; it has a"):
        wanted(repository, "b")
    with pytest.raises(RepositoryError, match="cannot be the name of a model"):
        wanted(repository, "..")


def test_a_file_that_is_written_anew_is_noticed_with_the_same_card(repository: Storage) -> None:
    model = wanted(repository, "a")
    before = stamps(repository, model)
    assert stamps(repository, model) == before
    repository.write("a/3/model.onnx", b"other")
    assert wanted(repository, "a") == model
    assert stamps(repository, model) != before
