"""What the limiter decides, with a controller that does as it is told."""

from __future__ import annotations

from typing import Any

from ray_pipeline.outcome import Outcome
from ray_pipeline.sharing.allotment import Allotment
from ray_pipeline.sharing.limit import Bound, Bounds, Limit
from ray_pipeline.sharing.messages import Granted, Hello, Message, MessageError

BOUND = Bound(0.95, max_slowdown=2.0)
HELLO = Hello("a", 1, BOUND, 1, b"model/row")
ONE, TWO, NONE = Limit(1, 0.1, "one"), Limit(2, 0.1, "two"), Limit(0, 0.0, "none")


class Told:
    """A controller that is told its limit, and keeps what it hears."""

    def __init__(self, bounds: Bounds, instances: int, now_s: float) -> None:
        self.bounds, self.instances = list(bounds), instances
        self.now = TWO
        self.due = False
        self.in_flight = 0
        self.ended: list[tuple[float, Outcome]] = []
        self.canaries: list[float | None] = []
        self.requests = 0

    def rebound(self, bounds: Bounds, instances: int) -> None:
        self.bounds, self.instances = list(bounds), instances

    def canary_due(self, now_s: float) -> bool:
        return self.due

    def canary_sent(self, now_s: float) -> None:
        self.due = False

    def canary_answered(self, now_s: float, latency_s: float | None) -> None:
        self.canaries.append(latency_s)

    def batch_sent(self, now_s: float) -> None:
        self.in_flight += 1

    def batch_answered(self, now_s: float, seconds: float, outcome: Outcome) -> None:
        self.in_flight -= 1
        self.ended.append((seconds, outcome))

    def counted(self, now_s: float, requests: int) -> None:
        self.requests = requests

    def limit(self, now_s: float) -> Limit:
        return self.now


class Node:
    """An allotment, with all that it says."""

    def __init__(self) -> None:
        self.controls: list[Told] = []
        self.said: list[tuple[int, Message]] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.allotment = Allotment(self._new, self._tell, self._note, self._model_of)

    @property
    def control(self) -> Told:
        return self.controls[-1]

    def granted(self) -> list[tuple[int, int]]:
        """The permits granted since the last call: holders and numbers."""
        found = [(holder, message.number) for holder, message in self.said if isinstance(message, Granted)]
        self.said.clear()
        return found

    def limits(self) -> list[tuple[int, Limit]]:
        """The limits told since the last call."""
        found = [(holder, message) for holder, message in self.said if isinstance(message, Limit)]
        self.said.clear()
        return found

    def _new(self, bounds: Bounds, instances: int, now_s: float) -> Told:
        self.controls.append(Told(bounds, instances, now_s))
        return self.control

    def _tell(self, holder: int, message: Message) -> None:
        self.said.append((holder, message))

    def _note(self, event: str, **what: Any) -> None:
        self.events.append((event, what))

    def _model_of(self, canary: bytes) -> str:
        model, slash, _ = canary.decode().partition("/")
        if not slash:
            raise MessageError("no canary")
        return model
