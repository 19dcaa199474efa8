"""Servers are started, asked, and stopped again."""

from __future__ import annotations

import shlex
import signal
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest

from ray_pipeline.sections import TritonSpec
from tests.pages.exports import WIDTH
from tests.pages.place import PATIENCE_S, Place, await_ready, stop
from tests.support.certificates import CLIENT, SERVER, Authority
from tests.support.told import block
from triton_models.doctor.health import current_models
from triton_models.server.binary import embedded_binary
from triton_models.server.errors import UnreachableError
from triton_models.server.runtime import Runtime

ASK_S = 10.0
FOLDER, BUCKET = "rayton serve --repository ./models", "rayton serve --repository s3://models"
LANE = f"{BUCKET} --bulk-lane"
GUARDED = (
    f"{BUCKET} --tritonserver /opt/tritonserver/bin/tritonserver --address 0.0.0.0 --tls-cert node.pem "
    "--tls-key node.key --tls-ca clients-ca.pem"
)


def a_folder(place: Place, cluster: dict[str, str]) -> None:
    """A server of ./models answers the two programs that the README has for it, and stops by Ctrl-C."""
    served = place.serve(FOLDER)
    place.stands_for["localhost:8001"] = await_ready(served)
    assert {"minilm", "digits"} <= served.report.keys()
    assert place.program("client.py", block("# client.py")).startswith(f"(2, {WIDTH})\n")
    printed = place.program("pipeline.py", block("# pipeline.py"), cluster)
    assert printed.startswith(f"['body', 'embedding', 'error'] {WIDTH}\n")
    stop(served, signal.SIGINT)


@contextmanager
def of_the_bucket(place: Place) -> Iterator[Popen[str]]:
    """The servers of online users, on two nodes; gives the doctor that looks at the first one meanwhile."""
    looks_often = ("--refresh-s", "0.5")  # the usual half a minute is long for a test
    place.behind[BUCKET] = looks_often
    first, second = place.serve(BUCKET), place.serve(BUCKET, place.new_home("gpu-2"))
    for name, served in (("gpu-1:8001", first), ("gpu-2:8001", second)):
        place.stands_for[name] = await_ready(served)
        assert served.report["minilm"] == "3"
        assert served.report["copy"].startswith("s3://models in ")
    place.stands_for["localhost:8001"] = place.stands_for["gpu-1:8001"]
    here = place.here("localhost:8001")
    assert place.run("rayton health localhost:8001") == f"{here} answers: minilm 3\n"
    with place.start("rayton doctor localhost:8001") as doctor:
        yield doctor
    for served, number in ((first, signal.SIGTERM), (second, signal.SIGINT)):
        stop(served, number)


def diagnosed(doctor: Popen[str]) -> None:
    """The doctor has measured the model, and finds nothing wrong with it; that a machine is busy it may well find."""
    with doctor:
        told, errors = doctor.communicate(timeout=PATIENCE_S)
    words = told.splitlines()[1].split()
    assert (words[0], words[3], words[-1]) == ("minilm", "300", "0"), told
    busy = "and its config gives no cause; see what else keeps the machine or the model busy"
    assert "minilm: safe to share\n" in told or busy in told
    assert doctor.returncode == int("error: not safe to share" in errors)


def a_bulk_lane(place: Place) -> None:
    """A server for bulk steps back behind that of the users."""
    users = place.here("localhost:8001")
    place.behind[LANE] = ("--beside", users)
    served = place.serve(LANE)
    await_ready(served)
    assert served.report["lane"] == "for bulk: it takes only processor time that nobody else wants"
    assert served.report["beside"].startswith(f"{users}: its threads that share a processor move")
    stop(served, signal.SIGTERM)


def a_guarded_one(place: Place, runtime: Runtime) -> None:
    """One that others reach lets in those with a certificate, as [triton] of the README names it."""
    folder = place.folder / "certificates"
    ours = Authority(folder, "clients-ca")
    node = ours.pair("node", "gpu-1.example", "127.0.0.1", usages=(SERVER, CLIENT), days=30)
    ours.pair("job", usages=(CLIENT,))
    for path in (ours.ca, node.cert, node.key):
        (place.folder / path.name).symlink_to(path)
    (folder / "ca.pem").symlink_to(ours.ca)
    elsewhere = place.new_home("elsewhere")
    (folder / "control.key").symlink_to(Path(elsewhere["RAYTON_HOME"]) / "servers" / "control.key")
    place.stands_for["/opt/tritonserver/bin/tritonserver"] = str(_tritonserver(runtime, place.folder / "tritonserver"))
    served = place.serve(GUARDED, elsewhere)
    port = await_ready(served).rpartition(":")[2]
    assert served.report["TLS"].startswith("gRPC is encrypted; clients show a certificate of clients-ca.pem")
    place.stands_for |= {"gpu-1.example:8001": f"127.0.0.1:{port}", "/etc/rayton": str(folder)}
    section = tomllib.loads(place.here("[triton]\n" + block('url = "gpu-1.example:8001"')))["triton"]
    triton = TritonSpec.model_validate(section)
    assert triton.url is not None
    (minilm,) = current_models(triton.url, ASK_S, credentials=triton.credentials)
    assert (minilm.name, minilm.version) == ("minilm", "3")
    with pytest.raises(UnreachableError, match="wants TLS, and this client was not told to use it"):
        current_models(triton.url, ASK_S)
    stop(served, signal.SIGTERM)


def _tritonserver(runtime: Runtime, script: Path) -> Path:
    """The embedded server as a program of its own, as a container has one."""
    binary = embedded_binary(runtime)
    kept = {name: binary.environment[name] for name in ("LD_LIBRARY_PATH", "PATH", "VIRTUAL_ENV")}
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in kept.items())
    script.write_text(f'#!/bin/sh\n{settings} exec {binary.path} "$@" --backend-directory={binary.backend_directory}\n')
    script.chmod(0o755)
    return script
