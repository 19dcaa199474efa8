from __future__ import annotations

import pytest

from ray_pipeline.summary import units


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "0 ms"),
        (0.00042, "0.42 ms"),
        (0.0834, "83.4 ms"),
        (1.254, "1.25 s"),
        (59.4, "59.4 s"),
        (245.0, "4m 05s"),
        (11_040.0, "3h 04m"),
        (183_600.0, "2d 03h"),
    ],
)
def test_spans_of_time(seconds: float, said: str) -> None:
    assert units.span(seconds) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 B"), (999, "999 B"), (4_230_000, "4.23 MB"), (7.5e15, "7,500 TB"), (1e18, "1,000,000 TB")],
)
def test_sizes(number: float, said: str) -> None:
    assert units.size(number) == said


def test_numbers_say_no_more_than_they_know() -> None:
    assert [units.rate(one) for one in (0.0, 0.1234, 56.78, 12_345.6)] == ["0", "0.123", "56.8", "12,346"]
    assert [units.share(one) for one in (0.0, 0.0001, 0.1234, 1.0)] == ["0.0%", "< 0.1%", "12.3%", "100.0%"]
    assert [units.money(one) for one in (0.0, 0.00123, 0.0999, 1234.5)] == ["0.00", "0.0012", "0.10", "1,234.50"]
    assert units.moment(1_000_000.0) == "1970-01-12 13:46:40 UTC"


def test_a_latency_beyond_the_last_bucket_may_be_longer() -> None:
    assert [units.latency(one) for one in (0.0123, 70.0)] == ["12.3 ms", "70 s or more"]


def test_texts_are_cut() -> None:
    assert units.cut("abcdef", 6) == "abcdef"
    assert units.cut("abcdefg", 6) == "abcde…"
