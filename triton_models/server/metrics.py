"""The numbers that a server counts, read from the Prometheus text of its metrics port."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

from triton_models.errors import ServerError

_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+-?\d+)?")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True)
class Sample:
    """One number and what it is of, such as nv_inference_count of {model: minilm, version: 1}."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Metrics:
    """All numbers of a server at one moment."""

    samples: tuple[Sample, ...]

    def total(self, name: str, **labels: str) -> float:
        """The sum over all samples of that name whose labels contain the given ones; 0 if there is none."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= dict(sample.labels).items()
        )


def read_metrics(url: str, timeout_s: float = 5.0) -> Metrics:
    """The numbers of the server whose metrics port is at `url`. Raises ServerError if it does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:  # the address is the operator's own
            return parse_metrics(answer.read().decode())
    except OSError as error:
        raise ServerError(f"the metrics of {url} cannot be read: {error}") from error


def parse_metrics(text: str) -> Metrics:
    """Reads Prometheus' text format. Raises ServerError for a line that is not of it."""
    return Metrics(tuple(_sample(line) for line in text.splitlines() if line.strip() and not line.startswith("#")))


def _sample(line: str) -> Sample:
    match = _SAMPLE.fullmatch(line.strip())
    if match is None:
        raise ServerError(f"{line!r} is not a line of Prometheus metrics")
    labels = {name: _ESCAPE.sub(_unescaped, value) for name, value in _LABEL.findall(match["labels"] or "")}
    try:
        return Sample(match["name"], labels, float(match["value"]))
    except ValueError:
        raise ServerError(f"{line!r} is not a line of Prometheus metrics") from None


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]
