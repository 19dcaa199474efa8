from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pytest

from ray_pipeline.errors import OutputError
from ray_pipeline.output.lock import Holder, _beat, _myself, holder, is_alive, locked
from triton_models.storage import Storage, open_storage

BEAT_S = 0.05
FOREVER_S = 10_000.0
"""A beat that no test can wait for: what goes on at once does not look at it."""

ELSEWHERE = Holder("another (machine)", 1, "77", "2026-11-24 01:02:03 UTC")


@pytest.fixture
def output(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path))


def write_lock(output: Storage, found: Holder, number: int = 1) -> None:
    output.write(f"_lock/{number:06}.json", json.dumps(asdict(found)).encode())


def locks(output: Storage) -> list[str]:
    return [one.path for one in output.at("_lock").objects()]


def dead() -> Holder:
    """A process of this machine that was not born when it says."""
    return replace(_myself(), born="1")


def test_a_folder_is_locked_while_a_run_works_and_free_afterwards(output: Storage) -> None:
    assert holder(output) is None
    with locked(output, FOREVER_S):
        found = holder(output)
        assert found is not None
        assert (found.pid, found.beat) == (os.getpid(), 0)
        assert is_alive(output, found, FOREVER_S)
    assert holder(output) is None
    assert locks(output) == []


def test_the_lock_is_gone_after_an_error_too(output: Storage) -> None:
    with pytest.raises(ZeroDivisionError), locked(output, FOREVER_S):
        raise ZeroDivisionError
    assert locks(output) == []


def test_a_second_run_is_refused_while_the_first_lives(output: Storage) -> None:
    with locked(output, FOREVER_S):
        told = rf"another run of this job works on it \(process {os.getpid()} on .*\)\. Wait for it, .*`rayton status"
        with pytest.raises(OutputError, match=told), locked(output, FOREVER_S):
            pass
        assert locks(output) == ["000001.json"]


def test_the_lock_of_a_dead_process_of_this_machine_is_taken_over_at_once(output: Storage) -> None:
    write_lock(output, dead(), 7)
    assert not is_alive(output, dead(), FOREVER_S)
    with locked(output, FOREVER_S):
        assert locks(output) == ["000008.json"]
    assert locks(output) == []


def test_the_lock_of_a_machine_that_is_silent_is_taken_over(output: Storage) -> None:
    write_lock(output, ELSEWHERE)
    with locked(output, BEAT_S):
        found = holder(output)
        assert found is not None
        assert found.pid == os.getpid()


def test_a_machine_that_beats_is_alive(output: Storage) -> None:
    write_lock(output, ELSEWHERE)
    beats = threading.Thread(target=write_lock, args=(output, replace(ELSEWHERE, beat=1)))
    beats.start()
    assert is_alive(output, ELSEWHERE, 1.0)
    beats.join()


def test_a_run_that_ends_while_it_is_watched_is_not_alive(output: Storage) -> None:
    write_lock(output, ELSEWHERE)
    ends = threading.Thread(target=output.delete, args=("_lock/000001.json",))
    ends.start()
    ends.join()
    assert not is_alive(output, ELSEWHERE, BEAT_S)


def test_a_run_beats(output: Storage) -> None:
    with locked(output, 0.01):
        seen = holder(output)
        assert seen is not None
        elsewhere = replace(seen, host="seen from another machine")
        assert is_alive(output, elsewhere, 1.0)


def test_of_many_that_see_a_dead_run_exactly_one_takes_over(output: Storage) -> None:
    write_lock(output, dead())
    takers = 8
    begin, end = threading.Barrier(takers), threading.Barrier(takers)
    won: list[int] = []
    refused: list[int] = []

    def take(number: int) -> None:
        begin.wait()
        try:
            with locked(output, FOREVER_S):
                won.append(number)
                end.wait()
        except OutputError:
            refused.append(number)
            end.wait()

    threads = [threading.Thread(target=take, args=(number,)) for number in range(takers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(refused)) == (1, takers - 1)
    assert locks(output) == []


@dataclass(frozen=True)
class Hooked(Storage):
    """Something happens right before the first read or creation of a lock."""

    before_read: list[Callable[[], None]] = field(default_factory=list)
    before_create: list[Callable[[], None]] = field(default_factory=list)

    def read(self, path: str) -> bytes:
        if self.before_read:
            self.before_read.pop()()
        return super().read(path)

    def create(self, path: str, content: bytes) -> bool:
        if self.before_create:
            self.before_create.pop()()
        return super().create(path, content)


def test_a_lock_that_is_given_back_while_it_is_looked_at_leaves_no_second_number(output: Storage) -> None:
    write_lock(output, ELSEWHERE)
    hooked = Hooked(output.uri, output.root, output.filesystem)
    hooked.before_read.append(lambda: output.delete("_lock/000001.json"))
    with locked(hooked, FOREVER_S):
        assert locks(output) == ["000001.json"]


@pytest.mark.parametrize(("there", "other"), [(None, 2), (dead(), 1)], ids=["higher number", "same number"])
def test_a_run_that_took_another_number_meanwhile_keeps_the_lock(
    output: Storage, there: Holder | None, other: int
) -> None:
    if there is not None:
        write_lock(output, there)
    hooked = Hooked(output.uri, output.root, output.filesystem)
    hooked.before_create.append(lambda: write_lock(output, _myself(), other))
    with pytest.raises(OutputError, match="another run of this job works on it"), locked(hooked, FOREVER_S):
        pass
    assert locks(output) == [f"{other:06}.json"]


def test_a_run_that_lost_its_lock_leaves_that_of_its_heir_alone(output: Storage) -> None:
    with locked(output, FOREVER_S):
        write_lock(output, ELSEWHERE)
    assert holder(output) == ELSEWHERE
    stop = threading.Event()
    beating = threading.Thread(target=_beat, args=(output, 1, _myself(), stop, 0.01))
    beating.start()
    assert not is_alive(output, ELSEWHERE, BEAT_S)
    stop.set()
    beating.join()
    assert holder(output) == ELSEWHERE
