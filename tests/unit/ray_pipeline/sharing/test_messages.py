"""The lines between a limiter and its holders."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from ray_pipeline.sharing.limit import Bound, Limit
from ray_pipeline.sharing.messages import (
    Canary,
    Give,
    Granted,
    Hello,
    Message,
    MessageError,
    Steer,
    Take,
    encoded,
    parsed,
)

HELLO = Hello("docs", 7, Bound(0.95, max_slowdown=1.5), 2, b"\x00\xff\n", 3.0, -1, 0.5, (4, 9))


@pytest.mark.parametrize(
    "message",
    [
        HELLO,
        replace(HELLO, bound=Bound(0.99, slo_s=0.05), held=()),
        Take(1, 0.02),
        Granted(1),
        Give(1, 0.021, "success"),
        Limit(1, math.inf, "nobody is online"),
        Canary(0.02, silent=True),
        Steer("docs", paused=True, most_in_flight=None),
        Steer("docs", paused=False, most_in_flight=2),
    ],
)
def test_a_message_comes_out_as_it_went_in(message: Message) -> None:
    line = encoded(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert parsed(line) == message


def test_whole_seconds_may_be_written_as_integers() -> None:
    assert parsed(b'{"kind": "take", "number": 1, "expected_s": 2}') == Take(1, 2.0)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"hello\n", "not a line of JSON: b'hello"),
        (b"\xff\n", "not a line of JSON"),
        (b"[1]\n", "not a message of a kind that is known here (hello, take"),
        (b'{"kind": "grab"}\n', "not a message of a kind that is known here"),
        (b'{"kind": ["take"]}\n', "not a message of a kind that is known here"),
        (b'{"kind": "granted", "number": true}\n', "number: True is not of type int"),
        (b'{"kind": "granted", "number": 1.0}\n', "number: 1.0 is not of type int"),
        (b'{"kind": "granted"}\n', "'number' is missing"),
        (b'{"kind": "granted", "number": 1, "job": "a"}\n', "'job' is unknown"),
        (b'{"kind": "take", "number": 1, "expected_s": "1"}\n', "expected_s: '1' is no number"),
        (b'{"kind": "take", "number": 1, "expected_s": NaN}\n', "expected_s: nan is no number"),
        (b'{"kind": "take", "number": 1, "expected_s": -1}\n', "expected_s is -1.0, and should be seconds"),
        (b'{"kind": "give", "number": 1, "took_s": 1, "outcome": "good"}\n', "'good' is none of success, dropped"),
        (b'{"kind": "steer", "job": "a", "paused": 1, "most_in_flight": null}\n', "paused: 1 is not of type bool"),
        (b'{"kind": "steer", "job": "a", "paused": false, "most_in_flight": -1}\n', "most_in_flight is -1"),
    ],
)
def test_what_is_no_message_is_refused_with_its_reason(line: bytes, told: str) -> None:
    with pytest.raises(MessageError) as refused:
        parsed(line)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"job": ""}, "job is ''"),
        ({"weight": 0}, "weight is 0.0, and should be a number above 0"),
        ({"max_share": 1.5}, "max_share is 1.5, and should be above 0 and at most 1"),
        ({"instances": 0}, "instances is 0, and should be at least 1"),
        ({"canary": "no base64!"}, "canary: not base64"),
        ({"held": ["a"]}, "held: 'a' is not of type int"),
        ({"bound": 3}, "bound: 3 is no object"),
        ({"bound": {"quantile": 0.95}}, "should be of slo_s or max_slowdown"),
        ({"bound": {"quantile": 0.95, "slo_s": 1, "max_slowdown": 2}}, "should be of slo_s or max_slowdown"),
        ({"bound": {"quantile": 95, "slo_s": 1}}, "quantile is 95.0, and should be between 0 and 1"),
    ],
)
def test_a_hello_that_makes_no_sense_is_refused_with_its_reason(changed: dict[str, Any], told: str) -> None:
    said = json.loads(encoded(HELLO)) | changed
    with pytest.raises(MessageError) as refused:
        parsed(json.dumps(said).encode())
    assert told in str(refused.value)


def test_an_error_does_not_repeat_a_whole_image() -> None:
    with pytest.raises(MessageError) as refused:
        parsed(b"x" * 100_000)
    assert len(str(refused.value)) < 400
