"""What a stranger may have put in the place of a file: any bytes, a good file that was changed, other JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from triton_models.errors import RaytonError

_ALWAYS: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("quick", max_examples=150, database=None, derandomize=True, **_ALWAYS)
settings.register_profile("long", max_examples=10_000, **_ALWAYS)
FUZZ = settings.get_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

JOB: dict[str, Any] = {
    "input": {"uri": "s3://corpus/texts", "keep": ["id"], "rows_per_chunk": 100},
    "models": [{"name": "m", "version": 1, "inputs": {"text": "body"}, "outputs": {"y": "y"}, "truncate": False}],
    "output": {"uri": "out", "format": "jsonl.gz", "max_rejected": 0.5, "on_nonfinite": "keep"},
    "triton": {
        "url": "localhost:8001",
        "repository": "models",
        "managed": False,
        "timeout_s": 3.5,
        "transport": "grpc",
    },
    "sharing": {"lane": "shared", "max_slowdown": 1.5, "quantile": 0.9, "weight": 2, "pause_file": "/tmp/pause"},
    "storage": {"endpoint_url": "http://127.0.0.1:9000", "timeout_s": 9},
}
"""A job file with something in each section."""
DEEP = b"[" * 100_000
"""Put on each fuzz test: `HYPOTHESIS_PROFILE=long` draws anew in each run, and keeps what failed in `.hypothesis`."""

LONGEST_MESSAGE = 20_000

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["..", "../../etc/passwd", "/etc/passwd", "a\0b", "\ud800", "", "0", "NaN", "s3://k:s@b", "[", "\u2028"]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn, valid: bytes) -> bytes:
    """A good file of which some stretches were replaced, doubled or cut; or any bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    content = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 16)))
        piece = bytes(content[start:end])
        content[start:end] = draw(st.binary(max_size=8) | st.just(piece * 3) | st.just(b"") | st.sampled_from(TOKENS))
    return bytes(content)


TOKENS = [
    b"null",
    b"-1",
    b"1e999",
    b"NaN",
    b"[" * 5000,
    b"{" * 5000,
    b"9" * 5000,
    b'"',
    b"\\ud800",
    b"\0",
    b"\xff",
    b"..",
    b"[[",
    b"]]",
    b"=",
]


@st.composite
def changed_json(draw: st.DrawFn, valid: Any) -> bytes:
    """A good JSON file of which a value was replaced by any other, or left out, or a key was added."""
    found = json.loads(json.dumps(valid))
    for _ in range(draw(st.integers(1, 2))):
        found = changed(draw, found)
    return json.dumps(found).encode()


def changed(draw: st.DrawFn, value: Any) -> Any:
    """A value that differs in one place, at any depth."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 5)) == 0:
        return draw(VALUES)
    key = draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
    match draw(st.integers(0, 3)):
        case 0:
            del value[key]
        case 1 if isinstance(value, dict):
            value[draw(st.text(max_size=8))] = draw(VALUES)
        case _:
            value[key] = changed(draw, value[key])
    return value


def toml_of(found: Any) -> str:
    """A TOML file of a value out of JSON; where TOML has no such value, a file that is none."""
    if not isinstance(found, dict):
        return str(found)
    return "\n".join(f"{_quoted(key)} = {_toml(value)}" for key, value in found.items())


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def only_ours(read: Callable[[], Any]) -> Any:
    """What `read` gives; None where it refuses in words for people. Any other error passes, and fails the test."""
    try:
        return read()
    except RaytonError as error:
        said = str(error)
    assert said.strip()
    assert len(said) < LONGEST_MESSAGE
    return None
