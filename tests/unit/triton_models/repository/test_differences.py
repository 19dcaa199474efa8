from __future__ import annotations

from dataclasses import replace

from tests.support.repositories import Y, card, config
from triton_models.card import Check, Figures, Precision
from triton_models.repository.differences import Difference, card_differences, config_differences
from triton_models.tensors import TensorSpec


def test_equal_configs_and_cards_do_not_differ() -> None:
    assert config_differences(config("small"), config("small")) == []
    assert card_differences(card(), replace(card(), created="later", version=2)) == []


def test_configs_differ_by_the_paths_of_their_fields() -> None:
    kept, asked = config("small"), config("small")
    for one in (kept, asked):
        one.ClearField("parameters")
        one.ClearField("instance_group")
        one.instance_group.add(count=1)
    asked.instance_group[0].count = 2
    asked.instance_group.add(count=4)
    kept.parameters["x"].string_value = "1"
    asked.dynamic_batching.max_queue_delay_microseconds = 100
    kept.ClearField("version_policy")
    asked.version_policy.latest.num_versions = 1
    assert sorted(config_differences(kept, asked)) == [
        "dynamic_batching.max_queue_delay_microseconds not set instead of 100",
        "instance_group[0].count 1 instead of 2",
        "instance_group[1] not set instead of {count: 4}",
        "parameters {x: {string_value: 1}} instead of not set",
        "version_policy not set instead of {latest: {num_versions: 1}}",
    ]


def test_cards_differ_in_what_a_person_asks_about() -> None:
    old = replace(
        card(),
        checks=(Check("parity", "y", 1, 1e-6, 1e-5, 0.9, 1e-4), Check("parity", "y", 7, 2e-6, 1e-5, 1.0, 1e-4)),
        tools={"torch": "2.12"},
        files={"model.onnx": "a" * 64, "assets/old": "b" * 64},
    )
    new = replace(
        card(outputs=(TensorSpec("y", "FP16", (3,)), TensorSpec("z", "FP32", (1,)))),
        precision=Precision("fp16", (), (Figures("fp16", 10, 100.0, 0.99),)),
        checks=(Check("parity", "y", 1, 3e-4, 1e-5, 0.9, 1e-3),),
        tools={"torch": "2.13"},
        labels=("cat", "dog"),
        files={"model.onnx": "c" * 64},
        copy_of=3,
    )
    assert card_differences(old, new) == [
        Difference("copy_of", None, "3"),
        Difference("outputs.y", "FP32[3]", "FP16[3]"),
        Difference("outputs.z", None, "FP32[1]"),
        Difference("precision.name", "fp32", "fp16"),
        Difference("precision.figures.fp16", None, "{precision: fp16, bytes: 10, rows_per_s: 100, cosine: 0.99}"),
        Difference("labels[0]", None, "cat"),
        Difference("labels[1]", None, "dog"),
        Difference("checks.parity of y.max_abs", "2e-06", "0.0003"),
        Difference("tools.torch", "2.12", "2.13"),
        Difference("files.model.onnx", "SHA-256 aaaaaaaaaaaa", "SHA-256 cccccccccccc"),
        Difference("files.assets/old", "SHA-256 bbbbbbbbbbbb", None),
    ]
    assert Y in old.outputs
