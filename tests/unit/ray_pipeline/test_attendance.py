from __future__ import annotations

import pytest

from ray_pipeline.attendance import Attendance

A, B = "a" * 56, "b" * 56
GONE = "server localhost:8001: not there; tried 9 times over 60 s. Is the server running?"


@pytest.fixture
def two() -> Attendance:
    return Attendance({A: "10.0.0.1", B: "10.0.0.2"})


def test_all_are_there_at_first_and_that_is_no_news(two: Attendance) -> None:
    two.look([A, B])
    assert two.anyone()
    assert two.take_news() == []


def test_a_server_that_goes_and_comes_is_told_once_each(two: Attendance) -> None:
    two.away(A, GONE)
    two.away(A, GONE)
    assert two.anyone()
    assert two.take_news() == [
        f"node 10.0.0.1 (aaaaaaaa): its chunks go to other nodes until its server is there: {GONE}"
    ]
    two.present(A, "10.0.0.1")
    two.present(A, "10.0.0.1")
    assert two.take_news() == ["node 10.0.0.1 (aaaaaaaa): its server is there again"]


def test_a_node_that_is_lost_is_told_once(two: Attendance) -> None:
    two.look([B])
    two.look([B])
    assert two.anyone()
    assert two.take_news() == ["node 10.0.0.1 (aaaaaaaa): it has left the cluster; its chunks go to other nodes"]


def test_nobody_is_left_when_each_is_lost_or_without_its_server(two: Attendance) -> None:
    two.away(A, GONE)
    two.look([A])
    assert not two.anyone()
    assert two.all_away().splitlines() == [
        "no node of the job has a healthy server any more:",
        f"  node 10.0.0.1 (aaaaaaaa): {GONE}",
        "  node 10.0.0.2 (bbbbbbbb): it has left the cluster",
    ]


def test_the_only_node_says_no_more_than_what_is_wrong() -> None:
    alone = Attendance({A: "10.0.0.1"})
    alone.away(A, GONE)
    assert not alone.anyone()
    assert alone.all_away() == GONE


def test_a_node_that_joins_later_counts_when_its_server_is_there(two: Attendance) -> None:
    two.look([])
    assert not two.anyone()
    two.present("c" * 56, "10.0.0.3")
    assert two.anyone()


def test_what_others_know_of_a_node_is_told_under_its_name(two: Attendance) -> None:
    two.tell(B, "its server has died 1 time")
    assert two.take_news() == ["node 10.0.0.2 (bbbbbbbb): its server has died 1 time"]
