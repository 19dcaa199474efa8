"""`rayton models` as a user sees it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rayton import app
from tests.support.repositories import X, card, config, publish_bytes
from triton_models.card import Check, Figures, ImagePreparation, Precision, TextPreparation
from triton_models.errors import RaytonError
from triton_models.repository.publish import publish
from triton_models.repository.staging import staging
from triton_models.repository.versions import newest, read_card, versions
from triton_models.storage import Storage, open_storage


@pytest.fixture
def repository(tmp_path: Path) -> Storage:
    """Two versions of small."""
    repository = open_storage(str(tmp_path / "models"))
    for content in (b"one", b"two"):
        publish_bytes(repository, "small", content)
    return repository


def printed(repository: Storage, *words: str) -> str:
    """What a command says, with every run of spaces as one."""
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["models", *words, "--repository", repository.uri])
    if result.exception is not None:
        raise result.exception
    return re.sub(r"[ ─]+", " ", result.output)


def test_a_list_has_a_line_for_each_model(repository: Storage) -> None:
    said = printed(repository, "list")
    assert "model current versions precision created source remarks size" in said
    assert re.search(r"small 2 2 fp32 2\S+ \d\d:\d\d a test .* kB", said)
    assert "there is no model in" in printed(open_storage(str(repository.local) + "/nothing"), "list")


def test_a_card_is_shown_whole(repository: Storage) -> None:
    text = TextPreparation("assets/tokenizer.json", 256, 0, "x", None, None, True)
    figures = (Figures("fp32", 90_000_000, 50.0, 1.0), Figures("int8", 23_000_000, 100.0, 0.985))
    full = replace(
        card(),
        preparation=text,
        labels=("cat", "[dog]"),
        precision=Precision("int8", ("Gather",), figures),
        checks=(Check("parity", "y", 1, 1e-6, 1e-5, 0.999, 1e-4), Check("parity", "y", 7, 2e-6, 1e-5, 1.0, 1e-4)),
        target="24.10",
        tools={"torch": "2.13"},
    )
    with staging(repository) as staged:
        (staged / "model.onnx").write_bytes(b"three")
        publish(repository, staged, full, config("small"))
    said = printed(repository, "card", "small")
    for line in (
        "small version 3: ",
        "takes x FP32[3], up to 8 rows a request",
        "prepare a text, up to 256 tokens of assets/tokenizer.json; padding does not change its answer",
        "labels 2: cat, [dog]",
        "needs Triton 24.10 or newer",
        "made with torch 2.13",
        "parity 1, 7 2.0e-06 1.0e-04 1.0e-05 0.999000",
        "int8; in fp32 stay Gather",
        "int8 23.0 MB 100 2.00x 0.98500",
        f"model.onnx {read_card(repository, 'small', 3).files['model.onnx']}",
    ):
        assert line in said
    assert "small version 1: " in printed(repository, "card", "small", "--version", "1")


def test_an_image_is_prepared_as_its_card_says(repository: Storage) -> None:
    with staging(repository) as staged:
        (staged / "model.onnx").write_bytes(b"three")
        publish(repository, staged, replace(card(), preparation=ImagePreparation("x", 224, 192, 256)), config("small"))
    assert "an image: RGB, shortest edge to 256, then 224x192 pixels (bilinear)" in printed(repository, "card", "small")


def test_programs_get_the_card_as_it_is(repository: Storage) -> None:
    result = CliRunner().invoke(app, ["models", "card", "small", "--json", "--repository", repository.uri])
    assert json.loads(result.stdout) == json.loads(repository.read("small/2/card.json"))


def test_two_versions_are_compared(repository: Storage) -> None:
    said = printed(repository, "diff", "small", "1", "2")
    assert "what version 1 version 2" in said
    assert re.search(r"files\.model\.onnx SHA-256 \w{12} SHA-256 \w{12}", said)
    assert "versions 1 and 1 of small hold the same" in printed(repository, "diff", "small", "1", "1")


def test_a_version_comes_back_and_another_goes(repository: Storage) -> None:
    assert "small version 3 is published, a copy of version 1: " in printed(repository, "rollback", "small")
    assert "small version 2 is retired; " in printed(repository, "retire", "small", "2")
    assert versions(repository, "small") == [1, 3]
    assert newest(repository, "small") == 3


def test_gc_says_first_what_it_would_do(repository: Storage) -> None:
    assert "would be removed: version 1 of small (0." in printed(repository, "gc", "--keep", "1", "--dry-run")
    assert versions(repository, "small") == [1, 2]
    assert re.search(r"removed: version 1 of small .*\n[\d,]+ bytes are free", printed(repository, "gc", "--keep", "1"))
    assert versions(repository, "small") == [2]
    assert "there is nothing to remove" in printed(repository, "gc", "small", "--keep", "1")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("card", "smal"), "did you mean 'small'"),
        (("card", "small", "--version", "9"), "no version 9 of small; it has 1, 2"),
        (("diff", "small", "1", "9"), "no version 9 of small; it has 1, 2"),
        (("rollback", "small", "--to", "9"), "no version 9 of small; it has 1, 2"),
        (("retire", "small", "2"), "roll back first"),
        (("retire", "../small", "1"), "cannot be the name of a model"),
        (("gc", "smal", "--keep", "1"), "did you mean 'small'"),
        (("gc", "--keep", "0"), "--keep is 0"),
    ],
)
def test_a_mistake_is_told_and_changes_nothing(repository: Storage, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(RaytonError) as refusal:
        printed(repository, *words)
    assert said in str(refusal.value)
    assert versions(repository, "small") == [1, 2]
    assert X in read_card(repository, "small", 2).inputs
