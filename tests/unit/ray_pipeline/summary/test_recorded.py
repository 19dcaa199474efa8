from __future__ import annotations

from ray_pipeline.summary.recorded import Counted, Recorded
from tests.support.pages import BEGAN_S, committed, page, run


def test_no_page_is_no_run() -> None:
    recorded = Recorded()
    assert (recorded.runs, recorded.nodes, len(recorded.chunks)) == ([], [], 0)
    assert recorded.totals(["a"]) == Counted(0, 0, 0)


def test_a_run_that_has_ended_well() -> None:
    first = run()
    recorded = Recorded([page(first, 0), page(first, 5, committed("a")), page(first, 9, committed("b"), over=True)])
    (seen,) = recorded.runs
    assert (seen.took_s, seen.over, seen.error, seen.parts, seen.rows) == (9.0, True, None, 2, 20)


def test_a_run_that_was_killed_has_worked_until_its_last_page() -> None:
    first, second = run(0), run(1, BEGAN_S + 1000)
    recorded = Recorded(
        [page(first, 0), page(first, 5, committed("a")), page(second, 0), page(second, 7, over=True, error="no room")]
    )
    assert [(seen.took_s, seen.over, seen.error) for seen in recorded.runs] == [
        (5.0, False, None),
        (7.0, True, "no room"),
    ]


def test_of_a_chunk_that_was_scored_again_the_last_time_counts_and_all_time_was_spent() -> None:
    first, second = run(0), run(1, BEGAN_S + 1000)
    again = committed("a", scored=10, at_s=second.began_s)
    recorded = Recorded(
        [
            page(first, 5, committed("a", scored=7, rejections={"prepare: NotJson": 3}), committed("b"), over=True),
            page(second, 5, again, over=True),
        ]
    )
    assert recorded.totals(["a", "b"]) == Counted(2, 20, 0)
    assert recorded.rejections(["a", "b"]) == {}
    assert recorded.chunks["read"].sum().round(9) == 0.3


def test_a_run_that_scores_rejected_rows_again_scores_no_others() -> None:
    first, second = run(0), run(1, BEGAN_S + 1000)
    still = {"score: NonFinite": 1}
    recorded = Recorded(
        [
            page(first, 5, committed("a", scored=6, rejections={"score: NonFinite": 4})),
            page(second, 5, committed("a", scored=9, rejections=still)),
        ]
    )
    assert [seen.rows for seen in recorded.runs] == [10, 4]
    assert recorded.rejections(["a"]) == still


def test_a_chunk_whose_part_was_taken_away_is_scored_whole() -> None:
    first, second = run(0), run(1, BEGAN_S + 1000)
    recorded = Recorded([page(first, 5, committed("a")), page(second, 5, committed("a"))])
    assert [seen.rows for seen in recorded.runs] == [10, 10]
    assert recorded.totals(["a"]) == Counted(1, 10, 0)


def test_a_chunk_that_came_twice_in_a_run_was_scored_whole_twice() -> None:
    first = run()
    twice = committed("a", scored=6, rejections={"read: NotJson": 4})
    recorded = Recorded([page(first, 5, twice, twice)])
    assert recorded.runs[0].rows == 20
    assert recorded.totals(["a"]) == Counted(1, 6, 4)


def test_chunks_that_are_no_longer_planned_are_not_counted() -> None:
    recorded = Recorded([page(run(), 5, committed("old", rejections={"read: NotJson": 1}), committed("new"))])
    assert recorded.totals(["new"]) == Counted(1, 10, 0)
    assert recorded.rejections(["new"]) == {}
