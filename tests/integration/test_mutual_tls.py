"""A server that others could reach: who is let in to what, and what is said to those who are not."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from ray_pipeline import TritonScorer
from ray_pipeline.errors import FatalError
from ray_pipeline.served import served_versions
from ray_pipeline.sharing.connection import log_file_of
from ray_pipeline.sharing.holder import Holder
from ray_pipeline.sharing.listener import NoListener
from ray_pipeline.transport.choose import choose
from tests.support.certificates import CLIENT
from tests.support.command import run_rayton
from tests.support.guarded import NOT_AS_LOOPBACK, Place, guarded, in_job_file, shown
from tests.support.jobs import failing_score, score, scored_rows, write_job
from tests.support.leftovers import await_end, command, descendants
from tests.support.limiters import hello, limiters, waiting
from tests.support.numbered import NAME, number_of, publish_number
from tests.support.triton import infer
from triton_models.repository.versions import versions
from triton_models.server.channel import open_client
from triton_models.server.control_key import RESTRICTED, read_control_key
from triton_models.server.credentials import NONE, Credentials
from triton_models.server.runtime import Runtime

PATIENCE_S = 60.0
SOON_S = 10.0
MODEL = f'name = "{NAME}"\ninputs  = {{ x = "x" }}\noutputs = {{ y = "y" }}'
ROWS = 40


@pytest.fixture(scope="module")
def place(runtime: Runtime, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with guarded(home, tmp_path_factory.mktemp("mutual")) as found:
        yield found


def job(place: Place, folder: Path, credentials: Credentials, **more: object) -> Path:
    rows = pa.table({"id": np.arange(ROWS), "x": [[float(row)] for row in range(ROWS)]})
    pq.write_table(rows, folder / "rows.parquet")
    triton: dict[str, object] = {"url": place.url, "repository": place.repository.uri, **in_job_file(credentials)}
    return write_job(
        folder / "job.toml",
        input=folder / "rows.parquet",
        output=folder / "out",
        triton=triton,
        model=MODEL,
        timeout_s=PATIENCE_S,
        **more,  # type: ignore[arg-type]
    )


def test_the_server_says_who_is_let_in_and_the_key_is_nowhere_but_in_its_file(place: Place) -> None:
    report, key = place.served.report, read_control_key(place.home / "servers" / "control.key")
    assert report["gRPC"].startswith(f"{NOT_AS_LOOPBACK}:")
    assert report["HTTP"].startswith("http://127.0.0.1:")
    assert report["TLS"] == (
        f"gRPC is encrypted; clients show a certificate of {place.authority.ca}; Triton's HTTP and metrics know no "
        "TLS: both answer on this machine only"
    )
    assert (
        report["control"]
        == f"{', '.join(RESTRICTED)} are for those with the key in {place.home / 'servers' / 'control.key'}"
    )
    (caution,) = [line for line in place.served.lines if line.startswith("caution")]
    assert caution.startswith("caution  its Triton is 2.51.0 and has 51 known holes")
    assert (place.home / "servers" / "control.key").stat().st_mode & 0o777 == 0o600
    family = [place.served.process.pid, *descendants(place.served.process.pid)]
    commands = [command(pid) for pid in family]
    assert any("bin/tritonserver" in one for one in commands)
    said = [*commands, *place.served.lines, Path(report["log"]).read_text()]
    assert [one for one in said if key in one] == []


def test_control_calls_need_the_key_and_inference_does_not(place: Place) -> None:
    with open_client(place.url, place.keyless) as client:
        assert client.is_server_ready()
        assert infer(client, NAME, x=np.zeros((1, 1), np.float32))["y"].shape == (1, 1)
        assert client.get_model_metadata(NAME).name == NAME
        assert client.get_inference_statistics().model_stats
        assert client.get_model_config(NAME).config.name == NAME
        for control in (
            client.get_model_repository_index,
            lambda: client.load_model(NAME),
            lambda: client.unload_model(NAME),
            client.get_system_shared_memory_status,
            lambda: client.register_system_shared_memory("region", "/region", 8),
            client.get_cuda_shared_memory_status,
            client.get_trace_settings,
            lambda: client.update_trace_settings(settings={"trace_level": ["OFF"]}),
            client.get_log_settings,
            lambda: client.update_log_settings({"log_verbose_level": 1}),
        ):
            with pytest.raises(InferenceServerException, match="This protocol is restricted"):
                control()
    with open_client(place.url, place.good) as client:
        assert client.get_model_repository_index().models
        assert client.get_log_settings().settings


def test_nor_does_http_do_more_for_those_without_the_key(place: Place) -> None:
    def asked(path: str, headers: dict[str, str]) -> int:
        try:
            with urlopen(Request(f"{place.served.report['HTTP']}{path}", b"{}", headers)) as answer:
                return int(answer.status)
        except HTTPError as refused:
            return refused.code

    key = {"rayton-control": read_control_key(place.home / "servers" / "control.key")}
    assert asked("/v2/repository/index", key) == 200
    for path in ("/v2/repository/index", f"/v2/repository/models/{NAME}/load", "/v2/logging", "/v2/trace/setting"):
        assert asked(path, {}) in (401, 403), path
        assert asked(path, {"rayton-control": "x" * 43}) in (401, 403), path


@pytest.mark.parametrize("kind", ["no TLS", "foreign CA", "no certificate", "foreign certificate", "expired"])
def test_a_job_hears_at_once_why_it_is_not_let_in(place: Place, kind: str) -> None:
    credentials, why = {
        "no TLS": (NONE, "wants TLS, and this client was not told to use it"),
        "foreign CA": (
            replace(place.good, ca=place.foreign.ca),
            f"{place.foreign.ca} has to hold the CA that has signed it",
        ),
        "no certificate": (Credentials(place.authority.ca), "lets in only clients with a certificate"),
        "foreign certificate": (
            place.shows(place.foreign.pair("stranger", usages=(CLIENT,))),
            "does not accept this client's certificate",
        ),
        "expired": (
            place.shows(place.authority.pair("late", usages=(CLIENT,), days=-1)),
            "does not accept this client's certificate",
        ),
    }[kind]
    began_s = time.monotonic()
    with pytest.raises(FatalError, match=re.escape(why)):
        served_versions(place.url, [(NAME, None)], PATIENCE_S, credentials)
    assert time.monotonic() - began_s < SOON_S


def test_a_job_with_an_expired_certificate_ends_with_the_reason(place: Place, tmp_path: Path) -> None:
    expired = place.authority.pair("expired", usages=(CLIENT,), days=-1)
    began_s = time.monotonic()
    said = failing_score(job(place, tmp_path, place.shows(expired)), place.home)
    assert f"error: the server {place.url} does not accept this client's certificate {expired.cert}" in said
    assert time.monotonic() - began_s < PATIENCE_S / 2


def test_a_job_runs_with_mutual_tls_and_keeps_to_itself_what_it_shows(place: Place, tmp_path: Path) -> None:
    printed = score(job(place, tmp_path, place.good), place.home)
    assert "send    through shared memory" in printed
    assert scored_rows(str(tmp_path / "out")).num_rows == ROWS
    texts = [printed, *(path.read_text() for path in (tmp_path / "out").iterdir() if path.suffix == ".json")]
    assert len(texts) == 2
    secrets = (read_control_key(place.home / "servers" / "control.key"), str(place.good.key), str(place.good.ca))
    assert [one for one in secrets for text in texts if one in text] == []


def test_the_limiter_of_such_a_server_is_let_in(place: Place, tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    row = service_pb2.ModelInferRequest(model_name=NAME, model_version="")
    row.inputs.add(name="x", datatype="FP32", shape=[1, 1])
    row.raw_input_contents.append(bytes(4))
    introduced = replace(hello(), canary=row.SerializeToString())
    before = answered(place)
    with closing(Holder(place.url, introduced, tmp_path, NoListener(), credentials=place.keyless)) as holder:
        waiting(pool, holder).result(PATIENCE_S).give(0.01, "success")
        assert answered(place) > before, "no canary has reached the server"
        (limiter,) = limiters(place.url)
        assert str(place.good.key) in command(limiter)
    events = [json.loads(line) for line in log_file_of(place.url, tmp_path).read_text().splitlines()]
    assert [event["event"] for event in events].count("limiter began") == 1
    assert [event for event in events if "gave no" in json.dumps(event)] == []
    await_end({limiter})


def answered(place: Place) -> int:
    """The requests that the server has answered."""
    with open_client(place.url, place.keyless) as client:
        return sum(int(one.inference_stats.success.count) for one in client.get_inference_statistics(NAME).model_stats)


def test_without_the_key_a_job_goes_through_grpc_and_says_why(place: Place) -> None:
    choice = choose(place.url, "auto", PATIENCE_S, place.keyless)
    assert choice.transport == "grpc"
    assert "does this only for those who have its key" in choice.why
    assert "control_key_file under [triton]" in choice.why
    with pytest.raises(
        FatalError, match=r"cannot be reached through shared memory: .*control_key_file under \[triton\]"
    ):
        choose(place.url, "shared_memory", PATIENCE_S, place.keyless)
    assert choose(place.url, "shared_memory", PATIENCE_S, place.good).transport == "shared_memory"
    assert served_versions(place.url, [(NAME, None)], PATIENCE_S, place.keyless) == served_versions(
        place.url, [(NAME, None)], PATIENCE_S, place.good
    )
    with pytest.raises(FatalError, match="nothere"):
        served_versions(place.url, [("nothere", None)], PATIENCE_S, place.keyless)


def test_a_scorer_in_anybodys_pipeline_is_let_in_too(place: Place) -> None:
    good = place.good
    scorer = TritonScorer(
        NAME,
        place.url,
        {"x": "x"},
        {"y": "y"},
        repository=place.repository.uri,
        tls={"ca": str(good.ca), "cert": str(good.cert), "key": str(good.key)},
        control_key_file=str(good.control_key_file),
    )
    answers = scorer(pa.table({"x": pa.array([[1.0], [2.0]], pa.list_(pa.float32()))}))["y"].to_pylist()
    assert answers[1][0] - answers[0][0] == 1


def doctor(place: Place, *options: str) -> CompletedProcess[str]:
    return run_rayton(place.home, "doctor", place.url, "--requests", "20", *options, timeout_s=120)


def test_the_doctor_is_let_in_and_says_what_is_missing(place: Place) -> None:
    done = doctor(place, *shown(place.good))
    assert done.returncode == 0, done.stderr
    assert f"{NAME}: safe to share" in done.stdout
    keyless = doctor(place, *shown(place.keyless))
    assert keyless.returncode == 1
    assert "tells what it has loaded only to clients with its key" in keyless.stderr
    assert keyless.stderr.endswith("give the file with that key by --control-key-file\n")
    plain = doctor(place)
    assert plain.stderr.startswith(f"error: the server {place.url} wants TLS, and this client was not told to use it")


def test_a_version_is_loaded_by_those_with_the_key_and_the_follower_loads_by_itself(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = versions(place.repository, NAME)
    words = ("models", "rollback", NAME, "--repository", place.repository.uri, "--to", "1", "--load", place.url)
    keyless = run_rayton(place.home, *words, *shown(place.keyless))
    assert keyless.returncode == 1
    assert "loads models only for clients with its key" in keyless.stderr
    assert keyless.stderr.endswith("(nothing was published)\n")
    assert versions(place.repository, NAME) == before

    publish_number(place.repository, 20)
    place.served.await_line(f"{NAME} version {before[-1] + 1} is served now in place of {before[-1]}")
    assert number_of(place.url, credentials=place.keyless) == 20

    monkeypatch.setenv("RAYTON_TLS_CA", str(place.good.ca))
    monkeypatch.setenv("RAYTON_TLS_CERT", str(place.good.cert))
    monkeypatch.setenv("RAYTON_TLS_KEY", str(place.good.key))
    monkeypatch.setenv("RAYTON_CONTROL_KEY_FILE", str(place.good.control_key_file))
    done = run_rayton(place.home, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{place.url} answers from version {before[-1] + 2}"
    assert number_of(place.url, credentials=place.keyless) == 10


def test_what_a_server_cannot_use_is_refused_before_it_starts(place: Place) -> None:
    expired = place.authority.pair("old", "triton.example", days=-1)
    words = ("serve", "--repository", place.repository.uri, "--tls-cert", str(expired.cert))
    refused = run_rayton(place.home, *words, "--tls-key", str(expired.key))
    assert refused.returncode == 1
    assert refused.stderr == (f"error: no client can accept the certificate {expired.cert}: certificate has expired\n")
    assert "needs both --tls-cert and --tls-key" in run_rayton(place.home, *words).stderr
