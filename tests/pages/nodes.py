"""A cluster is started node by node, and runs jobs of those who stay and of those who leave."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen

from ray_pipeline.output.success import SUCCESS_FILE
from tests.pages.jobs import lose_a_part, output, rows_of, tells_metrics
from tests.pages.place import PATIENCE_S, Place
from tests.support.serving import Serving
from tests.support.waiting import until
from triton_models.server.ports import steady_port

HEAD = "ray start --head --port 6379"
READS = "ray start --address HEAD:6379"
SCORES = "ray start --address HEAD:6379 --resources '{\"triton\": 1}' --num-cpus 2"
METRICS = "ray start --address HEAD:6379 --metrics-export-port 8003"
SUBMIT = "ray job submit --address http://HEAD:8265 --working-dir . --no-wait -- rayton score job.toml"
ADDRESSES = {HEAD: "127.0.0.2", READS: "127.0.0.3", SCORES: "127.0.0.4", METRICS: "127.0.0.5"}
"""All of them are this machine's own, but not one that Ray replaces by one that others can reach."""
MANY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}
"""That there are many machines, which Ray does not think of loopback."""


@contextmanager
def cluster(place: Place) -> Iterator[dict[str, str]]:
    """Its nodes, one of which scores; gives the environment in which it is meant by those who name no other."""
    head, dashboard = steady_port(), steady_port()
    place.stands_for |= {
        "--port 6379": f"--port {head}",
        "HEAD:6379": f"{ADDRESSES[HEAD]}:{head}",
        "HEAD:8265": f"127.0.0.1:{dashboard}",
    }
    # At ports that nobody has, and for as long as the command runs.
    place.behind["ray start"] = ("--block", "--object-store-memory", "80000000", "--dashboard-agent-listen-port", "0")
    for line, address in ADDRESSES.items():
        place.behind[line] = ("--node-ip-address", address)
    place.behind[HEAD] += ("--dashboard-port", str(dashboard), "--ray-client-server-port", str(steady_port()))
    place.behind[SCORES] += ("--metrics-export-port", place.scoring_metrics)
    place.run("ray get-auth-token --generate")
    nodes = []
    for line in (HEAD, READS, SCORES):  # one after the other: on one machine two at once would take the same sockets
        nodes.append(place.start(line, MANY))
        await_started(nodes[-1])
    yield MANY | {"RAY_ADDRESS": place.here("HEAD:6379"), "RAY_AUTH_MODE": "token"}
    for node in reversed(nodes):
        leave(node)


def leave(node: Popen[str]) -> None:
    """Ends a node in good order."""
    with node:
        node.terminate()
        node.communicate()


def await_started(node: Popen[str]) -> None:
    """Waits until Ray says that a node is there."""
    Serving(node).await_line("Ray runtime started.")


def score_from_any_node(place: Place) -> None:
    """One part is missing; the command names the cluster."""
    lose_a_part(place)
    before = rows_of(place)
    printed = place.run("rayton score job.toml --ray-address HEAD:6379", MANY)
    assert "model   minilm version 3, on 1 node\n" in printed
    assert rows_of(place) > before


def metrics_of_a_node(place: Place) -> None:
    """A node comes, tells its metrics, and leaves."""
    node = place.start(METRICS, MANY | {"RAY_AUTH_MODE": "token"})  # said further down on its page
    await_started(node)
    until(lambda: tells_metrics(place.here("8003")), "the node tells metrics", PATIENCE_S)
    leave(node)


def score_while_nobody_is_there(place: Place) -> None:
    """One part is missing; the cluster runs the job."""
    lose_a_part(place)
    before, ours = rows_of(place), MANY | {"RAY_AUTH_MODE": "token"}
    submitted = re.search(r"Job '(raysubmit_\w+)' submitted successfully", place.run(SUBMIT, MANY))
    assert submitted is not None
    try:
        until(lambda: output(place).stat(SUCCESS_FILE) is not None, "the submitted job has ended well", PATIENCE_S)
    except AssertionError as error:
        said = place.asked(["ray", "job", "status", "--address", "http://HEAD:8265", submitted[1]], ours)
        raise AssertionError(f"{error}; it said {said[-2000:]!r}") from None
    assert rows_of(place) > before
