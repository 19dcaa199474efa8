"""Numbers as people read them."""

from __future__ import annotations

import time

from ray_pipeline.report import duration
from ray_pipeline.telemetry.metrics import SECONDS

_SIZES = ("B", "kB", "MB", "GB", "TB")


def count(number: float) -> str:
    """A number of things."""
    return f"{number:,.0f}"


def rate(a_second: float) -> str:
    """How many a second, with as many digits as say something."""
    return f"{a_second:,.0f}" if a_second >= 100 else f"{a_second:.3g}"


def span(seconds: float) -> str:
    """A span of time: `0.4 ms`, `83 ms`, `1.25 s`, `4m 05s`, `3h 04m`, `2d 03h`."""
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days}d {hours:02}h" if days > 1 else duration(seconds)


def latency(seconds: float) -> str:
    """A span of time that was counted in buckets: it may be longer than where the last of them begins."""
    return f"{seconds:g} s or more" if seconds >= SECONDS[-1] else span(seconds)


def size(number: float) -> str:
    """A number of bytes."""
    for unit in _SIZES[:-1]:
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} {_SIZES[-1]}" if number < 1000 else f"{number:,.0f} {_SIZES[-1]}"


def share(part: float) -> str:
    """A part of the whole: `12.3%`; what is little is not said to be nothing."""
    return f"{part:.1%}" if part == 0 or part >= 0.0005 else "< 0.1%"


def moment(at_s: float) -> str:
    """A time of day, from seconds since 1970."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at_s))


def money(amount: float) -> str:
    """An amount in the unit of a price, with at least two digits that say something."""
    return f"{amount:,.2f}" if amount >= 0.095 or amount == 0 else f"{amount:.2g}"


def cut(text: str, most: int) -> str:
    """A text of so many characters at most."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
