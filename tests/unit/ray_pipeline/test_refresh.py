from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_pipeline.errors import InputError
from ray_pipeline.plan import Plan, make_plan
from ray_pipeline.refresh import Refresh, named, refreshed
from ray_pipeline.spec import JobSpec


def spec(folder: Path, keep: tuple[str, ...] = ("id",), pattern: str = "**") -> JobSpec:
    return JobSpec.model_validate(
        {
            "input": {"uri": f"{folder}/{pattern}", "keep": keep, "rows_per_chunk": 4},
            "models": [{"name": "m", "inputs": {"text": "body"}, "outputs": {"y": "y"}}],
            "output": {"uri": "out"},
            "triton": {"url": "localhost:8001"},
        }
    )


def write(folder: Path, name: str, rows: int, id: object = 1) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps({"id": id, "body": f"{name} {row}"}) + "\n" for row in range(rows)))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A large object in two chunks, and two small ones together in a third."""
    write(tmp_path, "large.jsonl", 6)
    write(tmp_path, "small1.jsonl", 2)
    write(tmp_path, "small2.jsonl", 2)
    plan = make_plan(spec(tmp_path))
    assert [len(chunk.pieces) for chunk in plan.chunks] == [1, 1, 2]
    return plan


def again(folder: Path, plan: Plan, committed: int = 3, *, rescore_changed: bool = False) -> Refresh:
    ids = {chunk.id for chunk in plan.chunks[:committed]}
    return refreshed(spec(folder), plan, ids, rescore_changed=rescore_changed)


def objects_of(plan: Plan) -> dict[str, int]:
    """How many rows of each object are planned."""
    rows: Counter[str] = Counter()
    for chunk in plan.chunks:
        for piece in chunk.pieces:
            rows[piece.path] += piece.rows
    return dict(rows)


def test_where_nothing_is_new_the_plan_stays(tmp_path: Path, plan: Plan) -> None:
    assert again(tmp_path, plan) == Refresh(plan, (), (), ())


def test_new_objects_get_chunks_of_their_own_and_the_others_stay(tmp_path: Path, plan: Plan) -> None:
    write(tmp_path, "a-new.jsonl", 1)
    write(tmp_path, "new.jsonl", 1)
    found = again(tmp_path, plan, committed=0)
    assert found.plan.chunks[:3] == plan.chunks
    assert [[piece.path for piece in chunk.pieces] for chunk in found.plan.chunks[3:]] == [["a-new.jsonl", "new.jsonl"]]
    assert (found.new, found.changed, found.vanished) == (("a-new.jsonl", "new.jsonl"), (), ())
    assert found.plan.size_bytes > plan.size_bytes
    assert found.plan.schema == plan.schema


def test_changed_objects_are_refused(tmp_path: Path, plan: Plan) -> None:
    write(tmp_path, "large.jsonl", 7)
    with pytest.raises(
        InputError, match=r"1 objects of .* have changed .*: large\.jsonl\. `--rescore-changed` replaces"
    ):
        again(tmp_path, plan)


def test_changed_objects_are_replaced_where_that_is_wanted(tmp_path: Path, plan: Plan) -> None:
    write(tmp_path, "large.jsonl", 7)
    write(tmp_path, "small2.jsonl", 3)
    found = again(tmp_path, plan, rescore_changed=True)
    assert objects_of(found.plan) == {"large.jsonl": 7, "small1.jsonl": 2, "small2.jsonl": 3}
    assert {chunk.id for chunk in found.plan.chunks}.isdisjoint(chunk.id for chunk in plan.chunks)
    assert (found.new, found.changed, found.vanished) == ((), ("large.jsonl", "small2.jsonl"), ())


def test_what_is_scored_of_a_vanished_object_stays_and_what_is_not_is_dropped(tmp_path: Path, plan: Plan) -> None:
    (tmp_path / "large.jsonl").unlink()
    (tmp_path / "small1.jsonl").unlink()
    found = again(tmp_path, plan, committed=1)
    assert objects_of(found.plan) == {"large.jsonl": 4, "small2.jsonl": 2}
    assert found.plan.chunks[0] == plan.chunks[0]
    assert found.vanished == ("large.jsonl", "small1.jsonl")
    assert again(tmp_path, plan, committed=3).plan.chunks == plan.chunks


def test_an_object_without_rows_is_not_planned(tmp_path: Path, plan: Plan) -> None:
    write(tmp_path, "empty.jsonl", 0)
    assert again(tmp_path, plan).plan.chunks == plan.chunks


def test_an_object_that_came_back_is_scored(tmp_path: Path, plan: Plan) -> None:
    (tmp_path / "small1.jsonl").unlink()
    without = again(tmp_path, plan, committed=0).plan
    write(tmp_path, "small1.jsonl", 2)
    assert objects_of(again(tmp_path, without, committed=0).plan) == objects_of(plan)


@pytest.mark.parametrize(("id", "wider"), [(1.5, "double"), ("one", None), ({"a": 1}, None)])
def test_new_objects_whose_types_do_not_fit_are_refused(
    tmp_path: Path, plan: Plan, id: object, wider: str | None
) -> None:
    write(tmp_path, "new.jsonl", 1, id)
    told = rf"column 'id' of the new objects does not fit int64, .*{wider} would hold both" if wider else "go together"
    with pytest.raises(InputError, match=told):
        again(tmp_path, plan)


def test_new_objects_with_a_column_of_nulls_fit(tmp_path: Path, plan: Plan) -> None:
    write(tmp_path, "new.jsonl", 1, None)
    assert again(tmp_path, plan).plan.schema == plan.schema


def test_a_new_folder_whose_key_is_a_number_fits_a_key_of_texts(tmp_path: Path) -> None:
    job = spec(tmp_path, keep=("id", "k"))
    write(tmp_path, "k=a/a.jsonl", 1)
    plan = make_plan(job)
    write(tmp_path, "k=7/a.jsonl", 1)
    found = refreshed(job, plan, [], rescore_changed=False)
    assert objects_of(found.plan) == {"k=a/a.jsonl": 1, "k=7/a.jsonl": 1}


def test_a_new_folder_whose_key_is_a_text_does_not_fit_a_key_of_numbers(tmp_path: Path) -> None:
    job = spec(tmp_path, keep=("id", "k"))
    write(tmp_path, "k=7/a.jsonl", 1)
    plan = make_plan(job)
    write(tmp_path, "k=a/a.jsonl", 1)
    with pytest.raises(InputError, match="do not go together"):
        refreshed(job, plan, [], rescore_changed=False)


def test_another_folder_is_refused(tmp_path: Path, plan: Plan) -> None:
    write(tmp_path, "deep/a.jsonl", 1)
    with pytest.raises(InputError, match=rf"is below {tmp_path}/deep, the plan below {tmp_path}; use a new output"):
        refreshed(spec(tmp_path / "deep"), plan, [], rescore_changed=False)


def test_many_paths_are_named_by_the_first_few() -> None:
    assert named(["b", "a"]) == "a, b"
    assert named([str(number) for number in range(8)]) == "0, 1, 2, 3, 4 and 3 more"


STEPS = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 9)), min_size=1, max_size=5)


@given(STEPS, STEPS, st.sets(st.integers(0, 10)))
def test_every_row_that_is_there_is_planned_once_whatever_happened(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[tuple[str, int]],
    after: list[tuple[str, int]],
    committed: set[int],
) -> None:
    folder = tmp_path_factory.mktemp("refresh")
    write(folder, "always.jsonl", 3)
    for name, rows in before:
        write(folder, f"{name}.jsonl", rows)
    plan = make_plan(spec(folder))
    for name, rows in after:
        (folder / f"{name}.jsonl").unlink(missing_ok=True)
        if rows != 9:
            write(folder, f"{name}.jsonl", rows)
    ids = {chunk.id for number, chunk in enumerate(plan.chunks) if number in committed}
    found = refreshed(spec(folder), plan, ids, rescore_changed=True)
    planned = objects_of(found.plan)
    for path in folder.iterdir():
        assert planned.pop(path.name, 0) == path.read_text().count("\n")
    assert planned.keys() <= set(found.vanished)
    assert len({chunk.id for chunk in found.plan.chunks}) == len(found.plan.chunks)
