"""Prometheus text, as Triton writes it."""

from __future__ import annotations

import math

import pytest

from triton_models.errors import ServerError
from triton_models.server.metrics import parse_metrics, read_metrics

TEXT = """# HELP nv_inference_count Number of inferences performed (does not include cached requests)
# TYPE nv_inference_count counter
nv_inference_count{model="minilm",version="1"} 64
nv_inference_count{model="minilm",version="2"} 8
nv_inference_count{model="other",version="1"} 1
# TYPE nv_cpu_utilization gauge
nv_cpu_utilization 0.25
odd{path="a\\\\b\\"c\\nd, e={}",empty=""} 1.5e3 1700000000
limit NaN
"""


def test_samples_are_added_up_by_their_labels() -> None:
    metrics = parse_metrics(TEXT)
    assert metrics.total("nv_inference_count") == 73
    assert metrics.total("nv_inference_count", model="minilm") == 72
    assert metrics.total("nv_inference_count", model="minilm", version="2") == 8
    assert metrics.total("nv_inference_count", model="absent") == 0
    assert metrics.total("nv_cpu_utilization") == 0.25


def test_labels_are_unescaped_and_times_are_left_out() -> None:
    (odd,) = [sample for sample in parse_metrics(TEXT).samples if sample.name == "odd"]
    assert odd.labels == {"path": 'a\\b"c\nd, e={}', "empty": ""}
    assert odd.value == 1500.0


def test_a_number_may_be_missing() -> None:
    assert math.isnan(parse_metrics(TEXT).total("limit"))


@pytest.mark.parametrize("line", ["<html>", "nv_inference_count{model=", "nv_inference_count many"])
def test_other_text_is_refused(line: str) -> None:
    with pytest.raises(ServerError, match="is not a line of Prometheus metrics"):
        parse_metrics(line)


def test_a_server_that_does_not_answer_is_named(free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}/metrics"
    with pytest.raises(ServerError, match=f"the metrics of {url} cannot be read"):
        read_metrics(url)
