"""`rayton export`. Imports nothing heavy: the root command line loads this file for every command."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from triton_models.access import ControlKeyFile, TlsCa, TlsCert, TlsKey, TlsServerName, credentials_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

    from triton_models.server.runtime import Runtime

SIGNATURE = "Tensors and preparation"
ARITHMETIC = "Precision and target"
PROOFS = "Proofs"
SERVER = "Server"


def mount(app: typer.Typer) -> None:
    """Adds `export` to the root command line."""
    app.command(name="export")(export)


def _option(panel: str, *names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, **settings)


Names = list[str] | None


def export(
    source: Annotated[
        str,
        typer.Argument(
            help="A Hugging Face or sentence-transformers folder or id, package.module:factory, path/file.py:factory, "
            "a .pt2 program or a .onnx file. A factory returns (model, example inputs).",
            show_default=False,
        ),
    ],
    name: Annotated[str, typer.Option(help="What the model is called in the repository.", show_default=False)],
    repository: Annotated[
        str,
        typer.Option(
            envvar="RAYTON_REPOSITORY", help="The model repository: a folder, s3:// or gs://.", show_default=False
        ),
    ],
    max_batch_size: Annotated[int, typer.Option(help="The most rows in one request.")] = 64,
    unbatched: Annotated[
        bool, typer.Option("--unbatched", help="The answer is about the whole request: never put requests together.")
    ] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run Python code that lies in the model folder.")
    ] = False,
    max_tokens: Annotated[
        int | None, _option(SIGNATURE, help="Cut texts at this many tokens instead of the model's own limit.")
    ] = None,
    pair: Annotated[bool, _option(SIGNATURE, "--pair", help="The classifier reads two texts at once.")] = False,
    dynamic: Annotated[
        Names, _option(SIGNATURE, help="The moving axes of an input, as in image=0:batch,2:height,3:width.")
    ] = None,
    input_name: Annotated[Names, _option(SIGNATURE, help="Rename an input, as in pixel_values=image.")] = None,
    output_name: Annotated[Names, _option(SIGNATURE, help="Rename an output, as in output_0=scores.")] = None,
    outputs: Annotated[Names, _option(SIGNATURE, help="Keep only this output; may be repeated.")] = None,
    image: Annotated[
        str | None,
        _option(SIGNATURE, help="Take UINT8 pixels of this size, as in 224x224, scaled in the graph."),
    ] = None,
    normalize: Annotated[
        str | None, _option(SIGNATURE, help="imagenet, none, or MEAN/STD as in 0.5,0.5,0.5/0.5,0.5,0.5.")
    ] = None,
    layout: Annotated[str, _option(SIGNATURE, help="What the model itself takes: nchw or nhwc.")] = "nchw",
    precision: Annotated[str, _option(ARITHMETIC, help="fp32, fp16, bf16 or int8.")] = "fp32",
    calibration: Annotated[
        str | None, _option(ARITHMETIC, help="Parquet or .npz file of inputs that static int8 is calibrated with.")
    ] = None,
    target_triton: Annotated[
        str, _option(ARITHMETIC, help="The oldest Triton release that has to load the model.")
    ] = "24.10",
    samples: Annotated[
        str | None, _option(PROOFS, help="Parquet or .npz file of inputs to compare on, besides random ones.")
    ] = None,
    tolerance: Annotated[
        float | None, _option(PROOFS, help="The largest difference that is let pass; 1e-4 for fp32.")
    ] = None,
    min_cosine: Annotated[
        float | None,
        _option(PROOFS, help="The smallest cosine of a row that is let pass; 0.9999 for fp32."),
    ] = None,
    verify_served: Annotated[
        bool | None,
        _option(PROOFS, help="Ask a real server for the answers too.", show_default="where one is installed"),
    ] = None,
    device: Annotated[
        Names, _option(SERVER, help="auto, cpu, cuda or tensorrt; may be repeated.", show_default="auto")
    ] = None,
    instances: Annotated[int, _option(SERVER, help="Copies of the model on each device.")] = 1,
    threads: Annotated[int | None, _option(SERVER, help="Threads of one copy; all by default.")] = None,
    set_: Annotated[
        Names, _option(SERVER, "--set", help="A field of Triton's config, as in version_policy.latest.num_versions=2.")
    ] = None,
    replace_config: Annotated[
        bool, _option(SERVER, "--replace-config", help="Write the config over that of a model that is there.")
    ] = False,
    load: Annotated[
        Names, _option(SERVER, help="Make the running server at HOST:PORT (gRPC) load it; may be repeated.")
    ] = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_server_name: TlsServerName = None,
    control_key_file: ControlKeyFile = None,
) -> None:
    """Exports a model as the next version in a Triton repository, after proving that it answers like its source."""
    from rich.console import Console

    from exporter.errors import ExportError
    from exporter.report import show
    from exporter.spec import ExportSpec
    from triton_models.config.cautions import cautions
    from triton_models.config.tuning import Tuning
    from triton_models.repository.versions import read_config
    from triton_models.server.live import check_there, load_everywhere
    from triton_models.storage import open_storage

    addresses = load or []
    spec = ExportSpec(
        source,
        name,
        repository,
        max_batch_size=max_batch_size,
        unbatched=unbatched,
        max_tokens=max_tokens,
        pair=pair,
        trust_remote_code=trust_remote_code,
        dynamic=tuple(dynamic or ()),
        input_names=tuple(input_name or ()),
        output_names=tuple(output_name or ()),
        outputs=tuple(outputs or ()),
        image=image,
        normalize=normalize,
        layout=layout,
        precision=precision,
        calibration=calibration,
        target_triton=target_triton,
        samples=samples,
        tolerance=tolerance,
        min_cosine=min_cosine,
        tuning=Tuning(tuple(device or ("auto",)), instances, threads, tuple(set_ or ())),
        replace_config=replace_config,
    )
    credentials = credentials_of(tls_ca, tls_cert, tls_key, tls_server_name, control_key_file)
    check_there(addresses, name, credentials)
    storage = open_storage(repository, os.environ.get("AWS_ENDPOINT_URL"))
    # Bound to this very stream: while a library is kept quiet, sys.stderr is another one.
    progress = Console(file=sys.stderr)
    try:
        with progress.status("starting") as status:
            from exporter.export import export as run

            def say(step: str) -> None:
                _say(progress, status, step)

            published = run(spec, storage, say, _runtime(verify_served, say))
    except ExportError as error:
        if error.details:
            progress.print(error.details.rstrip(), style="dim", markup=False, highlight=False, soft_wrap=True)
        raise
    config = read_config(storage, published.name)
    printed = Console()
    show(published, repository, cautions(config) if config is not None else (), printed)
    load_everywhere(
        addresses,
        published.name,
        published.version,
        say=lambda line: progress.print(line, markup=False),
        credentials=credentials,
    )
    for address in addresses:
        printed.print(f"{address} answers from version {published.version}", markup=False, highlight=False)


def _runtime(wanted: bool | None, say: Any) -> Runtime | None:
    """The server to prove with: None where it is not wanted, or not asked for and not installed."""
    from triton_models.home import rayton_home
    from triton_models.server.runtime import ensure_runtime, find_runtime

    home = rayton_home(os.environ)
    if wanted is False:
        return None
    return find_runtime(home) or (ensure_runtime(home, say) if wanted else None)


def _say(progress: Console, status: Status, step: str) -> None:
    """A spinner on a terminal, plain lines elsewhere."""
    if progress.is_terminal:
        status.update(step)
    else:
        progress.print(f"{step} ...", markup=False, highlight=False, soft_wrap=True)
