from __future__ import annotations

from triton_models.server.lives import MOST_FAILED_STARTS, MOST_SHORT_LIVES, Lives

LONG_S, SHORT_S = 3600.0, 1.0


def test_a_server_that_died_after_a_long_life_is_started_again_at_once() -> None:
    lives = Lives()
    assert {lives.pause_s(LONG_S) for _ in range(1000)} == {0.1}


def test_starts_that_fail_are_tried_with_growing_pauses_and_then_given_up() -> None:
    lives = Lives()
    assert lives.pause_s(LONG_S) == 0.1
    assert [lives.pause_s(None) for _ in range(MOST_FAILED_STARTS)] == [0.5, 1.0, 2.0, 4.0, None]


def test_a_start_that_succeeds_lets_later_ones_fail_as_often() -> None:
    lives = Lives()
    for _ in range(3):
        pauses = [lives.pause_s(None) for _ in range(MOST_FAILED_STARTS - 1)]
        assert pauses == [0.5, 1.0, 2.0, 4.0]
        assert lives.pause_s(LONG_S) == 0.1


def test_rows_that_kill_a_server_may_be_looked_for_but_not_without_end() -> None:
    lives = Lives()
    assert {lives.pause_s(SHORT_S) for _ in range(MOST_SHORT_LIVES - 1)} == {0.1}
    assert lives.pause_s(SHORT_S) is None


def test_a_long_life_is_a_new_beginning() -> None:
    lives = Lives()
    for _ in range(3):
        assert {lives.pause_s(SHORT_S) for _ in range(MOST_SHORT_LIVES - 1)} == {0.1}
        assert lives.pause_s(LONG_S) == 0.1
