"""What `rayton serve` says of a server that is ready."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from triton_models.config.cautions import sharing_cautions
from triton_models.server import health
from triton_models.server.channel import open_client
from triton_models.server.control_key import RESTRICTED
from triton_models.server.options import is_loopback
from triton_models.server.releases import security_cautions

if TYPE_CHECKING:
    from triton_models.server.follow import Follower
    from triton_models.server.process import NodeServer


def announce(server: NodeServer, follower: Follower | None, cautions: Sequence[str]) -> None:
    """Prints models, addresses, who is let in, and what is to be minded; `cautions` are known already."""
    console = Console()
    table = Table("model", "version", box=None, pad_edge=False, header_style="bold")
    for loaded in server.models:
        table.add_row(loaded.name, loaded.version)
    console.print(table if server.models else "no model is in the repository yet")
    for name, text in (*_lines(server, follower), *(("caution", one) for one in (*cautions, *_cautions(server)))):
        console.print(f"{name:8} {text}", soft_wrap=True, highlight=False, markup=False)
    console.print("ready; Ctrl-C stops the server")


def _lines(server: NodeServer, follower: Follower | None) -> Iterator[tuple[str, str]]:
    options = server.options
    yield "gRPC", server.grpc_url
    yield "HTTP", server.http_url
    yield "metrics", server.metrics_url
    if options.tls is not None:
        clients = f"; clients show a certificate of {options.tls.ca}" if options.tls.ca is not None else ""
        yield "TLS", f"gRPC is encrypted{clients}; Triton's HTTP and metrics know no TLS: {_without_tls(server)}"
    if options.control_key_file is not None:
        yield "control", f"{', '.join(RESTRICTED)} are for those with the key in {options.control_key_file}"
    if follower is not None:
        yield "copy", f"{follower.cache.uri} in {follower.cache.folder}"
    yield "log", str(options.log_file)
    if options.background:
        yield "lane", "for bulk: it takes only processor time that nobody else wants"


def _without_tls(server: NodeServer) -> str:
    at = server.options.address_of
    metrics = at("metrics_port")
    where = "both answer" if is_loopback(metrics) else "HTTP answers"
    rest = "" if is_loopback(metrics) else f", metrics tell figures and names of models on {metrics}"
    return f"{where} on this machine only{rest}"


def _cautions(server: NodeServer) -> Iterator[str]:
    """What makes a server unsafe where others reach it, and what in the live configs makes a model so for its users."""
    with open_client(server.grpc_url, server.credentials) as client:
        if not is_loopback(server.options.address):
            yield from security_cautions(client.get_server_metadata(client_timeout=health.ASK_S).version)
        if server.shows_control_key:
            yield (
                "every user of this machine can read the control key in the list of processes, and the kernel does not "
                "let the server's keeper change that; mount /proc with hidepid=2, or run the server in a container"
            )
        if not server.options.background:
            yield from _sharing_cautions(server, client)


def _sharing_cautions(server: NodeServer, client: InferenceServerClient) -> Iterator[str]:
    for model in health.current_models(server.models):
        try:
            config = health.live_config(client, model)
        except InferenceServerException as error:
            yield f"{model.name}: its config cannot be looked over ({error.message()})"
            continue
        for caution in sharing_cautions(config):
            yield f"{model.name}: {caution}"
