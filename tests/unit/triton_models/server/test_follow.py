from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.repositories import publish_bytes, store_in
from triton_models.errors import RepositoryError, StorageError
from triton_models.repository.cache import open_cache
from triton_models.server.follow import Follower
from triton_models.storage import Storage


def unreachable() -> Storage:
    raise StorageError("store://models cannot be used: no route to host")


@dataclass
class Node:
    """A place for a copy, and what is said while it is brought up to date."""

    folder: Path
    repository: Storage
    said: list[str] = field(default_factory=list)

    @contextmanager
    def follower(
        self, names: tuple[str, ...] | None = None, open_repository: Callable[[], Storage] | None = None
    ) -> Iterator[Follower]:
        self.said.clear()
        with open_cache(self.folder, "store://models") as cache:
            yield Follower(cache, open_repository or (lambda: self.repository), names, self.said.append)

    def warnings(self) -> list[str]:
        return [line for line in self.said if line.startswith("WARNING")]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """The bucket has version 1 of `a` and `b`."""
    (tmp_path / "models").mkdir()
    repository = store_in(tmp_path / "models")
    for name in ("a", "b"):
        publish_bytes(repository, name)
    return Node(tmp_path / "copy", repository)


def test_a_start_copies_what_is_wanted_and_the_next_one_finds_it(node: Node) -> None:
    with node.follower() as follower:
        assert follower.prepare() == {"a": None, "b": None}
        assert follower.cache.names() == ["a", "b"]
    with node.follower() as follower:
        assert follower.prepare() == {}
        assert node.said == []


def test_only_the_models_asked_for_are_copied(node: Node) -> None:
    with node.follower(("b",)) as follower:
        follower.prepare()
        assert follower.cache.names() == ["b"]


def test_without_a_store_the_copy_is_served_and_that_is_said_with_its_age(node: Node) -> None:
    with node.follower() as follower:
        follower.prepare()
    with node.follower(open_repository=unreachable) as follower:
        assert follower.prepare() == {}
        assert follower.cache.served("a") == [1]
        (warning,) = node.warnings()
    assert "no route to host; serving the last good copy, 0:00:0" in warning


def test_without_a_store_and_a_copy_there_is_nothing_to_serve(node: Node) -> None:
    with (
        node.follower(open_repository=unreachable) as follower,
        pytest.raises(StorageError, match="no route to host; and there is no copy in"),
    ):
        follower.prepare()


def test_without_a_store_a_model_that_was_asked_for_and_is_not_in_the_copy_is_named(node: Node) -> None:
    with node.follower(("a",)) as follower:
        follower.prepare()
    with (
        node.follower(("a", "b"), unreachable) as follower,
        pytest.raises(StorageError, match="and there is no copy of b in"),
    ):
        follower.prepare()


def test_a_damaged_copy_is_not_served_without_a_store_and_fetched_anew_with_one(node: Node) -> None:
    with node.follower(("a",)) as follower:
        follower.prepare()
        damaged = follower.cache.models / "a" / "1" / "model.onnx"
    damaged.write_bytes(b"??")
    with (
        node.follower(("a",), unreachable) as follower,
        pytest.raises(StorageError, match="and there is no copy in"),
    ):
        follower.prepare()
    with node.follower(("a",)) as follower:
        assert follower.prepare() == {"a": None}
    assert damaged.read_bytes() == b"weights"


def test_a_corrupt_new_version_leaves_the_old_one_and_spares_the_other_models(node: Node) -> None:
    with node.follower() as follower:
        follower.prepare()
    for name in ("a", "b"):
        publish_bytes(node.repository, name, b"new")
    node.repository.write("a/2/model.onnx", b"???")
    with node.follower() as follower:
        assert list(follower.prepare()) == ["b"]
        assert (follower.cache.served("a"), follower.cache.served("b")) == ([1], [2])
        (warning,) = node.warnings()
    assert "a/2/model.onnx is not what its card says" in warning
    assert "serving a version 1 from the last good copy" in warning


def test_a_repository_without_models_is_taken_for_a_wrong_address(node: Node, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    empty = store_in(tmp_path / "empty")
    with (
        node.follower(open_repository=lambda: empty) as follower,
        pytest.raises(RepositoryError, match="has no model; export one into it first; and there is no copy"),
    ):
        follower.prepare()
    with node.follower() as follower:
        follower.prepare()
    with node.follower(open_repository=lambda: empty) as follower:
        follower.prepare()
        assert follower.cache.names() == ["a", "b"]


def test_a_model_that_left_the_repository_leaves_the_copy_at_the_next_start(node: Node) -> None:
    with node.follower() as follower:
        follower.prepare()
    node.repository.delete("b/config.pbtxt")
    with node.follower() as follower:
        follower.prepare()
        assert follower.cache.names() == ["a"]
    assert any(line.startswith("b is no longer in store://models") for line in node.said)
