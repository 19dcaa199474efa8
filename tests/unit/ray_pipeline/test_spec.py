from __future__ import annotations

from pathlib import Path

import pytest

from ray_pipeline.errors import JobFileError
from ray_pipeline.output.fingerprint import fingerprint
from ray_pipeline.spec import JobSpec, load_job
from triton_models.server.credentials import NONE, Credentials

GOOD = """
[input]
uri = "s3://corpus/texts"
keep = ["id"]

[[models]]
name = "minilm"
inputs  = { text = "body" }
outputs = { sentence_embedding = "embedding" }

[output]
uri = "s3://corpus/embeddings"

[triton]
url = "localhost:8001"

[storage]
endpoint_url = "http://127.0.0.1:9000"
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return tmp_path / "job.toml"


def load(job: Path, text: str) -> JobSpec:
    job.write_text(text)
    return load_job(job)


def refusal(job: Path, text: str) -> str:
    with pytest.raises(JobFileError) as refused:
        load(job, text)
    return str(refused.value)


def test_the_job_file_of_the_readme_is_read(job: Path) -> None:
    spec = load(job, GOOD)
    assert (spec.input.uri, spec.input.keep, spec.input.rows_per_chunk) == ("s3://corpus/texts", ("id",), 4096)
    assert spec.models[0].inputs == {"text": "body"}
    assert spec.models[0].version is None
    assert spec.output.on_nonfinite == "reject"
    assert spec.storage.endpoint_url == "http://127.0.0.1:9000"


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("keep =", "kepe =", "input.kepe: unknown key; did you mean 'keep'?"),
        ("name =", "nmae =", "models.0.nmae: unknown key; did you mean 'name'?"),
        ('s3://corpus/embeddings"', 's3://x"\non_nonfinite = "drop"', "output.on_nonfinite: Input should be 'rej"),
        ("[triton]", "[tritno]", "tritno: unknown key; did you mean 'triton'?"),
        ("endpoint_url", "zone", "storage.zone: unknown key; known here: endpoint_url, timeout_s"),
        ('name = "minilm"', "", "models.0.name: missing"),
        ('[output]\nuri = "s3://corpus/embeddings"', "", "output: missing"),
        ('uri = "s3://corpus/texts"', 'uri = ""', "input.uri: "),
        ('keep = ["id"]', 'keep = "id"', "input.keep: "),
        ('keep = ["id"]', "rows_per_chunk = 0", "input.rows_per_chunk: "),
        ('name = "minilm"', 'name = "minilm"\nversion = 0', "models.0.version: "),
        ('name = "minilm"', 'name = "minilm"\ntruncate = "no way"', "models.0.truncate: "),
        ("{ sentence_embedding = \"embedding\" }", "{}", "models.0.outputs: "),
        ('url = "localhost:8001"', "", "triton: needs url (a running server) or repository"),
        ('url = "localhost:8001"', "managed = true", "triton: needs url (a running server) or repository"),
        ("[triton]", "[triton]\nmanaged = true", "triton: managed = true starts a server on each node; repository"),
        ("[triton]", '[triton]\nmanaged = true\nrepository = "m"', "url names one that runs; keep one of them"),
        ('url = "localhost:8001"', 'repository = "m"\nmanaged = false', "triton: managed = false needs url"),
        ('url = "localhost:8001"', 'url = "x:1"\ntimeout_s = 0', "triton.timeout_s: "),
        ('url = "localhost:8001"', 'url = "x:1"\ntransport = "shm"', "triton.transport: Input should be 'auto'"),
        ("localhost:8001", "localhost", "triton.url: 'localhost' is not host:port"),
        ("localhost:8001", "http://localhost:8001", "triton.url: 'http://localhost:8001' is not host:port"),
        ("[storage]", '[triton.tls]\ncart = "/a"\n[storage]', "triton.tls.cart: unknown key; did you mean 'cert'?"),
        ("[storage]", '[triton.tls]\ncert = "/a"\n[storage]', "triton.tls.ca: missing"),
        ("[storage]", '[triton.tls]\nca = "ca.pem"\n[storage]', "triton.tls.ca: ca.pem is read on every node; give"),
        ("[storage]", '[triton.tls]\nca = "/a"\nkey = "/b"\n[storage]', "triton.tls: cert and key belong together"),
        ("localhost:8001", 'x:1"\ncontrol_key_file = "key', "triton.control_key_file: key is read on every node; give"),
        ('url = "localhost:8001"', 'repository = "m"\ncontrol_key_file = "/k"', "triton: control_key_file is for url"),
        ('url = "localhost:8001"', 'repository = "m"\n[triton.tls]\nca = "/a"', "triton: tls is for url, a running"),
        ("[storage]", '[sharing]\nlane = "fast"\n[storage]', "sharing.lane: Input should be 'own'"),
        ("[storage]", '[sharing]\nmode = "some"\n[storage]', "sharing.mode: Input should be 'shared'"),
        ("[storage]", '[sharing]\nlane = "own"\nweight = 2\n[storage]', "sharing: weight is for lane"),
        ("[storage]", '[sharing]\nbulk_url = "lane"\n[storage]', "sharing.bulk_url: 'lane' is not host:port"),
        ("[storage]", '[sharing]\nlane = "shared"\nbulk_url = "a:1"\n[storage]', "sharing: bulk_url is for lane"),
        ("[storage]", '[sharing]\nlines = "own"\n[storage]', "sharing.lines: unknown key; did you mean 'lane'?"),
        ('"embedding"', '"id"', "job: the output would have the column 'id' twice"),
        ('"embedding"', '"__rayton_row"', "job: the output cannot have a column '__rayton_row'"),
    ],
)  # fmt: skip
def test_each_mistake_names_its_key(job: Path, right: str, wrong: str, said: str) -> None:
    assert right in GOOD
    message = refusal(job, GOOD.replace(right, wrong, 1))
    assert f"{job} has mistakes:\n" in message
    assert said in message


@pytest.mark.parametrize(
    ("triton", "managed"),
    [
        ('url = "x:1"', False),
        ('url = "x:1"\nmanaged = false', False),
        ('repository = "m"', True),
        ('repository = "m"\nmanaged = true', True),
    ],
)
def test_managed_says_aloud_what_the_other_keys_mean(job: Path, triton: str, managed: bool) -> None:
    assert (load(job, GOOD.replace('url = "localhost:8001"', triton)).triton.url is None) == managed


def test_all_mistakes_are_told_at_once(job: Path) -> None:
    message = refusal(job, GOOD.replace("keep", "kepe").replace("name", "nmae"))
    assert message.count("unknown key") == 2


def test_a_model_cannot_be_there_twice(job: Path) -> None:
    again = GOOD[GOOD.index("[[models]]") : GOOD.index("[output]")].replace('"embedding"', '"other"')
    assert "model 'minilm' is there twice" in refusal(job, GOOD.replace("[output]", f"{again}\n[output]"))


def test_what_is_not_toml_says_where(job: Path) -> None:
    assert "is not valid TOML" in refusal(job, "[input")
    job.write_bytes(b"\xff\xfe")
    with pytest.raises(JobFileError, match="is not valid TOML"):
        load_job(job)


def test_a_file_that_is_not_there_is_named(job: Path) -> None:
    with pytest.raises(JobFileError, match=r"job\.toml cannot be read: No such file"):
        load_job(job)


@pytest.mark.parametrize(
    ("sharing", "lane"),
    [
        ("", None),
        ('[sharing]\nmode = "exclusive"\nlane = "shared"', None),
        ("[sharing]", "auto"),
        ('[sharing]\nlane = "own"\npause_file = "/run/maintenance"', "own"),
        ('[sharing]\nlane = "shared"', "shared"),
    ],
)
def test_a_job_is_beside_users_only_if_it_says_so(job: Path, sharing: str, lane: str | None) -> None:
    beside = load(job, f"{GOOD}\n{sharing}\n").beside_users
    assert (beside.lane if beside is not None else None) == lane


def test_what_a_server_gets_to_see_is_in_the_job_file_and_decides_no_answer(job: Path) -> None:
    plain = load(job, GOOD)
    assert plain.triton.credentials == NONE
    tls = '[triton.tls]\nca = "/pki/ca.pem"\ncert = "/pki/c.pem"\nkey = "/pki/c.key"\nserver_name = "triton.example"\n'
    shown = load(job, GOOD.replace("[storage]", f'control_key_file = "/pki/control"\n{tls}\n[storage]'))
    ca, cert, key, control = (Path(f"/pki/{name}") for name in ("ca.pem", "c.pem", "c.key", "control"))
    assert shown.triton.credentials == Credentials(ca, cert, key, "triton.example", control)
    assert fingerprint(shown, [3], ["0" * 64]) == fingerprint(plain, [3], ["0" * 64])


def test_a_shared_lane_needs_somebody_to_share_with(job: Path) -> None:
    without_url = GOOD.replace('url = "localhost:8001"', 'repository = "m"')
    assert "needs triton.url" in refusal(job, f'{without_url}\n[sharing]\nlane = "shared"\n')
    assert "needs triton.url" in refusal(job, f'{without_url}\n[sharing]\nbulk_url = "localhost:8101"\n')
    alone = load(job, f'{without_url}\n[sharing]\nlane = "shared"\nmode = "exclusive"\n')
    assert alone.beside_users is None
