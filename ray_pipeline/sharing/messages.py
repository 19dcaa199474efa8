"""What the limiter of a node and the holders of its permits say to each other: a JSON object on each line."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ray_pipeline.outcome import Outcome
from ray_pipeline.sharing.limit import Bound, Limit
from triton_models.errors import RaytonError
from triton_models.typed_json import Reader, dumps, loads, reader_of

MOST_BYTES = 64 * 2**20
"""Of one message: a canary is a row, and a row may be a large image."""


class MessageError(RaytonError):
    """A line is no message, or says something that makes no sense."""


@dataclass(frozen=True)
class Hello:
    """A holder introduces itself, on each new connection; a limit is the answer.

    Holders with the same `job` share that job's part, which is proportional to `weight` among jobs of the same
    `priority`; a higher one goes first. Its batches may take `max_share` of the time of `instances` instances, 1 being
    no limit. `canary` is a serialized ModelInferRequest with one real row. `held` are the numbers of the permits that
    a former limiter granted and that are still in use.
    """

    job: str
    pid: int
    bound: Bound
    instances: int
    canary: bytes
    weight: float = 1.0
    priority: int = 0
    max_share: float = 1.0
    held: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _check("job", self.job, bool(self.job), "a name")
        _check("weight", self.weight, 0 < self.weight < math.inf, "a number above 0")
        _check("max_share", self.max_share, 0 < self.max_share <= 1, "above 0 and at most 1")
        _check("instances", self.instances, self.instances >= 1, "at least 1")
        _check("quantile", self.bound.quantile, 0 < self.bound.quantile < 1, "between 0 and 1")
        one_of_two = (self.bound.slo_s is None) != (self.bound.max_slowdown is None)
        _check("bound", self.bound, one_of_two, "of slo_s or max_slowdown")


@dataclass(frozen=True)
class Take:
    """A holder wants a permit, which it knows by a number of its own, for a batch of `expected_s` seconds."""

    number: int
    expected_s: float

    def __post_init__(self) -> None:
        _check("expected_s", self.expected_s, 0 <= self.expected_s < math.inf, "seconds")


@dataclass(frozen=True)
class Granted:
    """The limiter grants the permit of that number."""

    number: int


@dataclass(frozen=True)
class Give:
    """A holder gives a permit back, after `took_s` seconds; one that was not granted yet is not wanted any more."""

    number: int
    took_s: float
    outcome: Outcome

    def __post_init__(self) -> None:
        _check("took_s", self.took_s, 0 <= self.took_s < math.inf, "seconds")


@dataclass(frozen=True)
class Canary:
    """The limiter's canary was answered after `took_s` seconds, and had been sent while bulk was `silent` or not."""

    took_s: float
    silent: bool

    def __post_init__(self) -> None:
        _check("took_s", self.took_s, 0 <= self.took_s < math.inf, "seconds")


@dataclass(frozen=True)
class Steer:
    """An operator pauses a job or limits its batches in flight, until the next such message or the end of the job.

    None as `most_in_flight` is no limit by hand.
    """

    job: str
    paused: bool
    most_in_flight: int | None

    def __post_init__(self) -> None:
        _check("most_in_flight", self.most_in_flight, (self.most_in_flight or 0) >= 0, "at least 0, or null")


Message = Hello | Take | Granted | Give | Limit | Canary | Steer
_KINDS: dict[str, type[Message]] = {
    "hello": Hello,
    "take": Take,
    "granted": Granted,
    "give": Give,
    "limit": Limit,
    "canary": Canary,
    "steer": Steer,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def encoded(message: Message) -> bytes:
    """The line of a message, with its end."""
    return dumps({"kind": _NAMES[type(message)], **vars(message)}).encode() + b"\n"


def parsed(line: bytes) -> Message:
    """The message of a line. Raises MessageError, which says what is wrong with it."""
    try:
        said = loads(line)
    except ValueError as error:  # UnicodeDecodeError is one
        raise MessageError(f"not a line of JSON: {_shown(line)}: {error}") from error
    read = _READERS.get(str(said.pop("kind", None))) if isinstance(said, dict) else None
    if read is None:
        raise MessageError(f"not a message of a kind that is known here ({', '.join(_KINDS)}): {_shown(line)}")
    try:
        return read(said)
    except ValueError as error:
        raise MessageError(f"{error} in {_shown(line)}") from error


def _check(name: str, value: object, is_right: bool, wanted: str) -> None:
    if not is_right:
        raise ValueError(f"{name} is {value!r}, and should be {wanted}")


def _shown(line: bytes) -> str:
    return repr(line[:200]) + ("..." if len(line) > 200 else "")


_READERS: dict[str, Reader[Message]] = {name: reader_of(kind) for name, kind in _KINDS.items()}
