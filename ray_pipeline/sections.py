"""The sections of a job file: what a person may write in each, and what it means."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ray_pipeline.transport.base import WantedTransport
from triton_models.addresses import checked_uri
from triton_models.errors import StorageError
from triton_models.healing import TIMEOUT_S
from triton_models.server.credentials import Credentials

NonEmpty = Annotated[str, Field(min_length=1)]


def _host_and_port(given: str) -> str:
    if "@" in given:
        raise ValueError("holds credentials; host:port alone is where a server's gRPC is, such as localhost:8001")
    if not re.fullmatch(r"[^/\s]+:\d+", given):
        raise ValueError(f"{given!r} is not host:port of a server's gRPC, such as localhost:8001")
    return given


Address = Annotated[str, AfterValidator(_host_and_port)]
"""Where a server's gRPC is, as each node sees it."""


def _folder(given: str) -> str:
    try:
        checked_uri(given)
    except StorageError as error:
        raise ValueError(error.message) from error
    return given


Uri = Annotated[NonEmpty, AfterValidator(_folder)]
"""A folder, a file or a glob: a local path, s3:// or gs://."""


class Section(BaseModel):
    """What one section of a job file says; a key that it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class InputSpec(Section):
    """`[input]`: what is scored."""

    uri: Uri
    """A file, a folder or a glob: a local path, `s3://` or `gs://`."""
    keep: tuple[NonEmpty, ...] = ()
    """Columns that are copied to the output; the keys of folders such as `day=2026-11-01/` are columns too."""
    rows_per_chunk: int = Field(default=4096, ge=1)
    """The size of a chunk: the unit of work, of retry and of commit. It should take seconds to score."""


class ModelSpec(Section):
    """One of `[[models]]`: a model that every row goes through."""

    name: NonEmpty
    """Its name in the repository."""
    version: int | None = Field(default=None, ge=1)
    """Its version; the newest if it is left out, which is then fixed for the whole job."""
    inputs: dict[NonEmpty, NonEmpty] = Field(min_length=1)
    """What its card asks for (`text`, `text_pair`, `image`, or the names of tensors), and the column that holds it."""
    outputs: dict[NonEmpty, NonEmpty] = Field(min_length=1)
    """The output tensors that are wanted, and the column that each becomes."""
    truncate: bool = True
    """Cut texts with more tokens than the model reads; `false` rejects them."""


OnNonfinite = Literal["reject", "keep", "fail"]
"""What becomes of a row whose answer holds NaN or infinite numbers; `fail` ends the job."""


class OutputSpec(Section):
    """`[output]`: where the answers go."""

    uri: Uri
    """A folder of this job alone: a local path, `s3://` or `gs://`."""
    format: Literal["parquet", "jsonl", "jsonl.gz", "jsonl.zst"] = "parquet"
    """The format of the parts."""
    max_rejected: float = Field(default=1.0, ge=0, le=1)
    """The share of all rows that may be rejected before the job is given up."""
    on_nonfinite: OnNonfinite = "reject"
    """What becomes of rows whose answers hold NaN or infinite numbers; `fail` ends the job."""


def _absolute(given: Path) -> Path:
    if not given.is_absolute():
        raise ValueError(f"{given} is read on every node; give the whole path, from /")
    return given


OnEachNode = Annotated[Path, AfterValidator(_absolute)]
"""A file that is there under this path on each node that scores."""


class TlsSpec(Section):
    """`[triton.tls]`: TLS with the servers at `url` and `sharing.bulk_url`; files as each node sees them."""

    ca: OnEachNode
    """The CA that has signed the server's certificate (PEM)."""
    cert: OnEachNode | None = None
    """What is shown to a server that wants to see a certificate (PEM)."""
    key: OnEachNode | None = None
    """The key of that certificate (PEM)."""
    server_name: NonEmpty | None = None
    """A name in the server's certificate, where the host in `url` is none of them."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together: a certificate is shown with the key that fits it")
        return self


class TritonSpec(Section):
    """`[triton]`: a running server (`url`), or a repository from which each node gets a managed one.

    A managed server is started for the job, started again when it dies, and gone with the job.
    """

    url: Address | None = None
    """The gRPC address of each node's server, seen from that node, such as `localhost:8001`."""
    repository: Uri | None = None
    """Where the models' cards are; not needed beside a `rayton serve` on the same machine. Without `url` each node gets
    a server with the models from here."""
    managed: bool | None = None
    """Says aloud which of the two it is: `true` is a server that the job starts."""
    timeout_s: float = Field(default=60.0, gt=0)
    """Seconds for which a server that does not answer is waited for. Let it be longer than the models take to load."""
    transport: WantedTransport = "auto"
    """How batches reach the server: `auto` is `shared_memory` where that works, and `grpc` elsewhere."""
    tls: TlsSpec | None = None
    """A section of its own, `[triton.tls]`."""
    control_key_file: OnEachNode | None = None
    """The control key of the server, needed for shared memory with one that was given such a key."""

    @property
    def credentials(self) -> Credentials:
        """What the server at `url` gets to see."""
        tls = self.tls.model_dump() if self.tls is not None else {}
        return Credentials(**tls, control_key_file=self.control_key_file)

    @model_validator(mode="after")
    def _some_server(self) -> Self:
        if self.url is None and self.repository is None:
            raise ValueError("needs url (a running server) or repository (to start one on each node)")
        if self.managed is True and self.repository is None:
            raise ValueError("managed = true starts a server on each node; repository must say from which models")
        if self.managed is True and self.url is not None:
            raise ValueError("managed = true starts a server on each node, url names one that runs; keep one of them")
        if self.managed is False and self.url is None:
            raise ValueError("managed = false needs url, the address of a running server")
        if self.url is None and (self.tls is not None or self.control_key_file is not None):
            what = "tls" if self.tls is not None else "control_key_file"
            raise ValueError(f"{what} is for url, a running server; managed servers are reached from their node alone")
        return self


OF_EACH_LANE = {"mode", "lane", "pause_file", "bulk_url"}


class SharingSpec(Section):
    """`[sharing]`: how the job keeps out of the way of online users; without this section it does not."""

    mode: Literal["shared", "exclusive"] = "shared"
    """`exclusive` is as if there was no such section."""
    lane: Literal["own", "shared", "auto"] = "auto"
    """`own`: each node gets a second server for this job alone, in the background, which takes only the processor time
    that nobody else wants; that of the online users is not touched. `shared`: the job uses their server and holds back.
    `auto` is `own` where there is memory for a second server, and `shared` elsewhere."""
    online_slo_ms: float | None = Field(default=None, gt=0)
    """In the shared lane, the most milliseconds that `quantile` of the users' requests may take."""
    max_slowdown: float | None = Field(default=None, gt=1)
    """The same, as a multiple of what they take while the job is silent; 1.5 if neither is said."""
    quantile: float = Field(default=0.95, gt=0, lt=1)
    """The share of the users' requests for which that holds."""
    max_share: float = Field(default=1.0, gt=0, le=1)
    """In the shared lane, the most of a server's time that the job takes."""
    weight: float = Field(default=1.0, gt=0)
    """In the shared lane, jobs of the same priority get a server's time by their weights."""
    priority: int = 0
    """In the shared lane, a job of higher priority goes first."""
    pause_file: Path | None = None
    """While this file exists on a node, the job is paused there."""
    bulk_url: Address | None = None
    """For a lane of its own, a server that is there already, as `rayton serve --bulk-lane` starts one."""

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if self.online_slo_ms is not None and self.max_slowdown is not None:
            raise ValueError("online_slo_ms and max_slowdown are two ways to say what users may notice; keep one")
        if self.lane == "own" and (idle := sorted(self.model_fields_set - OF_EACH_LANE)):
            raise ValueError(f'{idle[0]} is for lane = "shared": with a lane of its own there is nothing to share')
        if self.lane == "shared" and self.bulk_url is not None:
            raise ValueError('bulk_url is for lane = "own": the shared lane is that of the server of online users')
        return self


class StorageSpec(Section):
    """`[storage]`: the object store; its credentials come from the environment, or from the cloud's own chain."""

    endpoint_url: NonEmpty | None = None
    """Where an S3-compatible store answers that is not Amazon's."""
    timeout_s: float = Field(default=TIMEOUT_S, gt=0)
    """Seconds for which a store that throttles, fails or cannot be reached is asked again."""
