from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ray_pipeline.output.ledger import Ledger, known, rows_per_s
from ray_pipeline.sinks.part import PartResult
from triton_models.storage import Storage, open_storage

PARTS = [PartResult(f"{number:032x}", 90 + number, 10, 1000 + number, f"{number:064x}") for number in range(3)]
SIZES = {part.chunk: part.bytes for part in PARTS}


@pytest.fixture
def output(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path))


def pages(output: Storage) -> list[str]:
    return [one.path for one in output.at("_ledger").objects()]


def page(output: Storage, name: str, seconds: float, *parts: PartResult) -> None:
    noted = [{name: getattr(part, name) for name in PartResult.__slots__} for part in parts]
    rows = sum(part.scored + part.rejected for part in parts)
    content = {"seconds": seconds, "rows": rows, "parts": noted, "forgotten": []}
    output.write(f"_ledger/{name}.json", json.dumps(content).encode())


def test_results_pass_through_and_are_known_afterwards(output: Storage) -> None:
    assert known(output, SIZES) == {}
    assert list(Ledger(output).noted(iter(PARTS))) == PARTS
    assert known(output, SIZES) == {part.chunk: part for part in PARTS}
    assert len(pages(output)) == 1


def test_a_run_without_results_notes_nothing(output: Storage) -> None:
    assert list(Ledger(output).noted(iter(()))) == []
    assert pages(output) == []


def test_a_part_of_another_size_or_that_is_gone_is_not_known(output: Storage) -> None:
    list(Ledger(output).noted(iter(PARTS)))
    sizes = {PARTS[0].chunk: PARTS[0].bytes, PARTS[1].chunk: 7}
    assert known(output, sizes) == {PARTS[0].chunk: PARTS[0]}


def test_what_came_before_an_error_is_noted(output: Storage) -> None:
    def failing() -> Iterator[PartResult]:
        yield PARTS[0]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(Ledger(output).noted(failing()))
    assert known(output, SIZES) == {PARTS[0].chunk: PARTS[0]}


def test_what_came_before_a_reader_that_stops_is_noted(output: Storage) -> None:
    results = Ledger(output).noted(iter(PARTS))
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert known(output, SIZES) == {PARTS[0].chunk: PARTS[0]}


def test_it_is_flushed_every_few_seconds(output: Storage) -> None:
    clock = iter(range(100, 1000, 7))
    results = Ledger(output, lambda: float(next(clock))).noted(iter(PARTS))
    assert [len(pages(output)) for _ in results] == [0, 1, 1]
    assert known(output, SIZES) == {part.chunk: part for part in PARTS}
    assert sorted(pages(output)) == pages(output)


def test_the_last_note_of_a_part_counts(output: Storage) -> None:
    old = PartResult(PARTS[0].chunk, 1, 99, PARTS[0].bytes, "old")
    page(output, "20260101T000000-a-000000", 10, old)
    page(output, "20260102T000000-a-000000", 10, PARTS[0])
    assert known(output, SIZES) == {PARTS[0].chunk: PARTS[0]}


def test_the_pace_is_that_of_the_last_minute(output: Storage) -> None:
    assert rows_per_s(output) is None
    page(output, "20260101T000000-a-000000", 1000.0, PARTS[2])
    page(output, "20260101T000000-a-000001", 40.0, PARTS[0])
    page(output, "20260101T000000-a-000002", 60.0, PARTS[1], PARTS[1])
    assert rows_per_s(output) == pytest.approx((100 + 101 + 101) / 100)


def test_a_moment_says_nothing_about_the_pace(output: Storage) -> None:
    page(output, "20260101T000000-a-000000", 1.0, PARTS[0])
    assert rows_per_s(output) is None


def test_what_is_to_be_scored_again_is_forgotten_until_it_is_noted_again(output: Storage) -> None:
    first, second = Ledger(output), Ledger(output)
    list(first.noted(iter(PARTS)))
    second.forget([PARTS[0].chunk])
    assert known(output, SIZES) == {part.chunk: part for part in PARTS[1:]}
    list(second.noted(iter(PARTS[:1])))
    assert known(output, SIZES) == {part.chunk: part for part in PARTS}
