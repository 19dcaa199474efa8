"""Whatever lies where a file of ours should lie: it is read as it was meant, or refused in words for people."""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from ray_pipeline.plan import check_named
from ray_pipeline.sharing.limit import Bound, Limit
from ray_pipeline.sharing.messages import Give, Granted, Hello, Message, Steer, Take, encoded, parsed
from ray_pipeline.spec import JobSpec, load_job
from tests.support.committed import PLAN
from tests.support.fuzz import DEEP, FUZZ, JOB, changed_json, mutated, only_ours, toml_of
from tests.support.repositories import card, config
from triton_models.addresses import checked_uri
from triton_models.card import Card, Check, Figures, ImagePreparation, Precision, TextPreparation
from triton_models.config.cautions import cautions
from triton_models.config.foreign import code_in
from triton_models.config.pbtxt import to_pbtxt
from triton_models.repository.versions import read_config
from triton_models.repository.wanted import card_of
from triton_models.storage import open_storage

TEXT = dataclasses.replace(
    card(),
    name="m",
    version=3,
    preparation=TextPreparation("assets/tokenizer.json", 256, 0, "ids", "mask", None, True),
    checks=(Check("against torch", "y", 7, 2.5e-7, 1e-6, 0.999999, 1e-3),),
    precision=Precision("int8", ("Add",), (Figures("fp32", 1000, 10.5, 0.99),)),
    labels=("a", "b"),
    tools={"torch": "2.13.0"},
    files={"model.onnx": "ab" * 32, "assets/tokenizer.json": "cd" * 32},
)
CARDS = (TEXT, dataclasses.replace(TEXT, preparation=ImagePreparation("x", 2, 3)), card())
HELLO = Hello("docs", 7, Bound(0.95, max_slowdown=1.5), 2, b"\x00\xff\n", 3.0, -1, 0.5, (4, 9))
MESSAGES: tuple[Message, ...] = (
    HELLO,
    Take(1, 0.02),
    Granted(1),
    Give(1, 0.021, "success"),
    Limit(1, 2.5, "nobody"),
    Steer("docs", paused=True, most_in_flight=2),
)


@FUZZ
@given(mutated(toml_of(JOB).encode()))
@example(b"a = " + DEEP)
@example(b"a = " + b"9" * 5000)
@example(b"9" * 20_000 + b" = 1")
@example(b"\xff")
def test_the_bytes_of_a_job_file(folder: Path, content: bytes) -> None:
    read_job(folder / "job.toml", content)


@FUZZ
@given(changed_json(JOB))
def test_the_sections_of_a_job_file(folder: Path, content: bytes) -> None:
    read_job(folder / "job.toml", toml_of(json.loads(content)).encode(errors="replace"))


def read_job(path: Path, content: bytes) -> None:
    """Reads a job file, and what of it is read before anything is opened."""
    path.write_bytes(content)
    spec: JobSpec | None = only_ours(lambda: load_job(path))
    if spec is None:
        return
    for uri in (spec.input.uri, spec.output.uri, spec.triton.repository or "."):
        only_ours(partial(checked_uri, uri, spec.storage.endpoint_url))
    only_ours(partial(check_named, PLAN, spec.input.uri))


@FUZZ
@given(st.text() | st.text("s3g:/@[]%?#.. \0\\", max_size=20) | st.text().map("s3://b/{}".format))
@example("s3://[b")
@example("s3://b\u2100/x")
@example("\0")
@example("~0")
def test_the_address_of_a_folder(uri: str) -> None:
    found: str | None = only_ours(partial(checked_uri, uri, "http://127.0.0.1:9000"))
    if found is not None:
        assert "://" in found or Path(found).is_absolute()
    only_ours(partial(checked_uri, "s3://b", uri))


@FUZZ
@given(
    st.sampled_from(CARDS).flatmap(
        lambda one: changed_json(json.loads(one.to_json())) | mutated(one.to_json().encode())
    )
)
@example(DEEP)
@example(b"9" * 5000)
@example(b'"\\ud800"')
def test_a_card(content: bytes) -> None:
    found: Card | None = only_ours(partial(card_of, content, "m/1/card.json"))
    if found is not None:
        assert Card.from_json(found.to_json(), "card.json") == found
        assert all(isinstance(column, str) for column in found.columns)


@FUZZ
@given(mutated(to_pbtxt(config("m")).encode()))
@example(b"input { " * 5000)
@example(b'name: "' + b"[" * 25_000)
@example(b'name: "\\377"')
@example(b'name: "\\i"')
@example(b"max_batch_size: " + b"9" * 5000)
def test_a_config(folder: Path, content: bytes) -> None:
    repository = open_storage(str(folder / "models"))
    path = folder / "models" / "m" / "config.pbtxt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    found = only_ours(partial(read_config, repository, "m"))
    if found is not None:
        cautions(found)
        code_in(found)


@FUZZ
@given(st.sampled_from(MESSAGES).flatmap(lambda one: mutated(encoded(one)) | changed_json(json.loads(encoded(one)))))
@example(DEEP)
@example(b'{"kind": "take", "number": 1, "expected_s": 1' + b"0" * 400 + b"}")
def test_a_message_of_the_limiter(line: bytes) -> None:
    found: Message | None = only_ours(partial(parsed, line))
    if found is not None:
        assert parsed(encoded(found)) == found
