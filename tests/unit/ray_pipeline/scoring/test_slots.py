from __future__ import annotations

import threading

from ray_pipeline.scoring.slots import Slots
from ray_pipeline.scoring.window import LEAST, Window
from ray_pipeline.sharing.limit import UNLIMITED


def free_for_all(window: Window) -> Slots:
    return Slots(window, lambda: UNLIMITED)


def test_as_many_are_taken_as_the_window_says() -> None:
    slots = free_for_all(Window())
    assert [slots.take(wait=False) for _ in range(LEAST + 1)] == [*range(1, LEAST + 1), 0]
    slots.free()
    assert slots.take(wait=False) == LEAST


def test_a_larger_window_has_more() -> None:
    window = Window()
    slots = free_for_all(window)
    window.size = LEAST + 2
    assert [slots.take(wait=False) for _ in range(LEAST + 3)] == [*range(1, LEAST + 3), 0]


def test_one_more_waits_for_its_permit_where_no_more_than_the_window_are_permitted() -> None:
    window, most = Window(), 6
    window.size = 4
    counts = {}
    for permitted in range(most):
        slots = Slots(window, lambda permitted=permitted: permitted)  # type: ignore[misc]
        taken = [slots.take(wait=False) for _ in range(most)]
        counts[permitted] = max(taken)
    assert counts == {0: 4, 1: 4, 2: 4, 3: 4, 4: 5, 5: 4}


def test_one_that_is_waited_for_comes_when_another_is_given_back() -> None:
    slots, taken = free_for_all(Window()), threading.Event()
    for _ in range(LEAST):
        slots.take(wait=False)

    def wait() -> None:
        slots.take(wait=True)
        taken.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not taken.wait(0.05)
    slots.free()
    waiting.join(10)
    assert taken.is_set()
