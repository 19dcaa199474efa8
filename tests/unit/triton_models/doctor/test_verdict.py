from __future__ import annotations

import math

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from triton_models.config.cautions import shared_lane_cautions, sharing_cautions
from triton_models.config.model import model_config
from triton_models.config.tuning import Tuning
from triton_models.doctor.verdict import Diagnosis, Seen, diagnosis, seen
from triton_models.tensors import TensorSpec

X = TensorSpec("x", "FP32", (3,))
QUICK = [0.010] * 299


def config(*settings: str, instances: int = 2) -> ModelConfig:
    return model_config("small", (X,), (X,), 8, Tuning(("cpu",), instances, 1, settings))


def judged(found: Seen, *settings: str, instances: int = 2) -> Diagnosis:
    return diagnosis("small", "1", config(*settings, instances=instances), found)


def test_quantiles_are_latencies_that_were_seen() -> None:
    found = seen([0.001 * one for one in range(1, 101)], [])
    assert (found.p50_ms, found.p95_ms, found.p99_ms, found.max_ms) == pytest.approx((50, 95, 99, 100))
    assert (found.requests, found.stalled) == (100, 0)


@pytest.mark.parametrize(
    ("usual_s", "latency_s", "stalled"),
    [(0.01, 0.4, 1), (0.01, 0.39, 0), (0.04, 0.4, 0), (0.1, 0.99, 0), (0.1, 1.1, 1)],
)
def test_a_stall_is_long_and_much_longer_than_usual(usual_s: float, latency_s: float, stalled: int) -> None:
    assert seen([usual_s] * 9 + [latency_s], []).stalled == stalled


def test_requests_that_fail_are_no_latencies() -> None:
    found = seen([], ["torn", "gone"])
    assert found.requests == 2
    assert math.isnan(found.p50_ms)
    assert judged(found).reasons == ("2 of 2 requests failed (torn); look at the server's log",)


def test_a_plain_config_that_answers_at_once_is_safe() -> None:
    found = judged(seen(QUICK, []))
    assert (found.is_safe, found.verdict, found.instances) == (True, "safe to share", 2)
    assert found.reasons == found.remarks == ()


def test_one_instance_is_safe_with_a_remark_for_those_who_share_the_lane() -> None:
    found = judged(seen(QUICK, []), instances=1)
    assert found.is_safe
    assert found.remarks == (f"in a shared lane, {shared_lane_cautions(config(instances=1))[0]}",)


def test_a_config_that_may_stall_is_unsafe_although_nothing_was_seen() -> None:
    levels = "dynamic_batching.priority_levels=2"
    found = judged(seen(QUICK, []), levels)
    assert (found.is_safe, found.verdict) == (False, "not safe to share")
    assert list(found.reasons) == sharing_cautions(config(levels))


def test_stalls_are_told_with_the_config_that_makes_them() -> None:
    found = judged(seen([*QUICK, *[0.5] * 6], []), "dynamic_batching.priority_levels=2")
    assert len(found.reasons) == 2
    assert found.reasons[1].startswith("6 of 305 requests took more than 400 ms and 10 times the median; change what")


def test_stalls_that_the_config_does_not_explain_are_looked_for_elsewhere() -> None:
    (reason,) = judged(seen([*QUICK, *[0.5] * 6], [])).reasons
    assert "its config gives no cause; see what else keeps the machine or the model busy" in reason


def test_a_rare_stall_is_told_and_may_be_chance() -> None:
    found = judged(seen([*QUICK, 0.5], []))
    assert found.is_safe
    assert found.remarks[0].startswith("1 of 300 requests took more than 400 ms")
