"""The limiter's log."""

from __future__ import annotations

import json
import math
import os
import time
from contextlib import closing
from pathlib import Path

from ray_pipeline.sharing.event_log import EventLog


def test_an_event_is_a_line_with_its_time(tmp_path: Path) -> None:
    with closing(EventLog(tmp_path / "log")) as log:
        log.note("limit", in_flight=16, batch_s=math.inf, cause="nobody is online")
    (line,) = (tmp_path / "log").read_text().splitlines()
    event = json.loads(line)
    assert abs(event.pop("time") - time.time()) < 10
    assert event == {"event": "limit", "in_flight": 16, "batch_s": None, "cause": "nobody is online"}


def test_the_log_goes_on_where_it_ended(tmp_path: Path) -> None:
    for _ in range(2):
        with closing(EventLog(tmp_path / "log")) as log:
            log.note("began")
    assert len((tmp_path / "log").read_text().splitlines()) == 2


def test_the_log_does_not_grow_for_ever_and_what_follows_it_moves_with_it(tmp_path: Path) -> None:
    follower = os.dup(2)
    with closing(EventLog(tmp_path / "log", most_bytes=1000, follower=follower)) as log:
        for number in range(100):
            log.note("event", number=number)
        os.write(follower, b"a traceback\n")
    os.close(follower)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1"]
    assert all(path.stat().st_size < 1100 for path in tmp_path.iterdir())
    *_, last, traceback = (tmp_path / "log").read_text().splitlines()
    assert json.loads(last)["number"] == 99
    assert traceback == "a traceback"
