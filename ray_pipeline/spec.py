"""`job.toml`: what a person writes, checked before anything starts."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ray_pipeline.chunk import INTERNAL
from ray_pipeline.errors import JobFileError
from ray_pipeline.transport.base import WantedTransport
from triton_models.healing import TIMEOUT_S

NonEmpty = Annotated[str, Field(min_length=1)]


def _host_and_port(given: str) -> str:
    if not re.fullmatch(r"[^/\s]+:\d+", given):
        raise ValueError(f"{given!r} is not host:port of a server's gRPC, such as localhost:8001")
    return given


Address = Annotated[str, AfterValidator(_host_and_port)]
"""Where a server's gRPC is, as each node sees it."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputSpec(_Section):
    """`[input]`: a file, folder or glob, and the columns that are copied to the output.

    `rows_per_chunk` is the size of the unit of work, of retry and of commit.
    """

    uri: NonEmpty
    keep: tuple[NonEmpty, ...] = ()
    rows_per_chunk: int = Field(default=4096, ge=1)


class ModelSpec(_Section):
    """One of `[[models]]`: what the card asks for -> column; output tensor -> column. No version means the newest.

    Texts with more tokens than the model reads are cut, or rejected without `truncate`.
    """

    name: NonEmpty
    version: int | None = Field(default=None, ge=1)
    inputs: dict[NonEmpty, NonEmpty] = Field(min_length=1)
    outputs: dict[NonEmpty, NonEmpty] = Field(min_length=1)
    truncate: bool = True


OnNonfinite = Literal["reject", "keep", "fail"]
"""What becomes of a row whose answer holds NaN or infinite numbers; `fail` ends the job."""


class OutputSpec(_Section):
    """`[output]`: the folder that gets the parts, and their format.

    `max_rejected` is the share of all rows that may be rejected before the job is given up.
    """

    uri: NonEmpty
    format: Literal["parquet", "jsonl", "jsonl.gz", "jsonl.zst"] = "parquet"
    max_rejected: float = Field(default=1.0, ge=0, le=1)
    on_nonfinite: OnNonfinite = "reject"


class TritonSpec(_Section):
    """`[triton]`: a running server (`url`), or a repository from which each node gets a managed one.

    A managed server is started for the job, started again when it dies, and gone with the job.

    With `url` and `repository` the running server is used and the cards come from the repository. `managed` may say
    aloud which of the two it is. `timeout_s` is how long a server that does not answer is waited for. `transport` is
    how batches reach it: `auto` is `shared_memory` where it works.
    """

    url: Address | None = None
    repository: NonEmpty | None = None
    managed: bool | None = None
    timeout_s: float = Field(default=60.0, gt=0)
    transport: WantedTransport = "auto"

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
        return self


OF_EACH_LANE = {"mode", "lane", "pause_file", "bulk_url"}


class SharingSpec(_Section):
    """`[sharing]`: how the job keeps out of the way of online users.

    With the mode `exclusive` it does not, as if there was no such section. With the lane `own` each node gets a second
    server for this job alone, in the background: it takes only the processor time that nobody else wants, and the
    server of the online users is not touched; `bulk_url` names one that is there already. In the lane `shared` the job
    uses their server and holds back: `quantile` of their latencies stays within `online_slo_ms` milliseconds, or within
    `max_slowdown` times (1.5 without either) what it is when the job is silent. Jobs in that lane get parts by
    `weight`; one of higher `priority` goes first, and `max_share` is the most of a server's time that the job takes.
    The lane `auto` is `own` where there is memory for a second server, and `shared` elsewhere. While `pause_file`
    exists on a node, the job is paused there.
    """

    mode: Literal["shared", "exclusive"] = "shared"
    lane: Literal["own", "shared", "auto"] = "auto"
    online_slo_ms: float | None = Field(default=None, gt=0)
    max_slowdown: float | None = Field(default=None, gt=1)
    quantile: float = Field(default=0.95, gt=0, lt=1)
    max_share: float = Field(default=1.0, gt=0, le=1)
    weight: float = Field(default=1.0, gt=0)
    priority: int = 0
    pause_file: Path | None = None
    bulk_url: Address | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if self.online_slo_ms is not None and self.max_slowdown is not None:
            raise ValueError("online_slo_ms and max_slowdown are two ways to say what users may notice; keep one")
        if self.lane == "own" and (idle := sorted(self.model_fields_set - OF_EACH_LANE)):
            raise ValueError(f'{idle[0]} is for lane = "shared": with a lane of its own there is nothing to share')
        if self.lane == "shared" and self.bulk_url is not None:
            raise ValueError('bulk_url is for lane = "own": the shared lane is that of the server of online users')
        return self


class StorageSpec(_Section):
    """`[storage]`: where an S3-compatible store answers that is not Amazon's.

    `timeout_s` is how long a store that throttles, fails or cannot be reached is waited for.
    """

    endpoint_url: NonEmpty | None = None
    timeout_s: float = Field(default=TIMEOUT_S, gt=0)


class JobSpec(_Section):
    """All that a job file says."""

    input: InputSpec
    models: tuple[ModelSpec, ...] = Field(min_length=1)
    output: OutputSpec
    triton: TritonSpec
    sharing: SharingSpec | None = None
    storage: StorageSpec = StorageSpec()

    @model_validator(mode="after")
    def _shared_with_somebody(self) -> Self:
        if self.beside_users is not None and self.beside_users.lane == "shared" and self.triton.url is None:
            raise ValueError('sharing.lane = "shared" needs triton.url, the server that online users have too')
        if self.beside_users is not None and self.beside_users.bulk_url is not None and self.triton.url is None:
            raise ValueError("sharing.bulk_url needs triton.url, the server of the online users whom it is beside")
        return self

    @property
    def beside_users(self) -> SharingSpec | None:
        """How the job keeps out of the way of online users; None if it does not."""
        return self.sharing if self.sharing is not None and self.sharing.mode == "shared" else None

    @model_validator(mode="after")
    def _each_column_once(self) -> Self:
        columns = [*self.input.keep, *(column for model in self.models for column in model.outputs.values())]
        twice = sorted({column for column in columns if columns.count(column) > 1})
        if twice:
            raise ValueError(f"the output would have the column {twice[0]!r} twice; name one of them otherwise")
        taken = [column for column in columns if column.startswith(INTERNAL)]
        if taken:
            raise ValueError(f"the output cannot have a column {taken[0]!r}; names with {INTERNAL!r} are taken")
        return self

    @model_validator(mode="after")
    def _each_model_once(self) -> Self:
        names = [model.name for model in self.models]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"model {twice[0]!r} is there twice; score its other version or column with another job")
        return self


def load_job(path: Path) -> JobSpec:
    """Reads a job file. Raises JobFileError naming every wrong key, with the nearest right one."""
    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
    except OSError as error:
        raise JobFileError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise JobFileError(f"{path} is not valid TOML: {error}") from error
    try:
        return JobSpec.model_validate(found)
    except ValidationError as error:
        problems = "\n".join(f"  {explained(problem)}" for problem in error.errors())
        raise JobFileError(f"{path} has mistakes:\n{problems}") from error


def explained(problem: Any) -> str:
    """One of the problems that pydantic has found, for people: where it is, and what is wrong there."""
    *section, key = problem["loc"] or ("job",)
    name = ".".join(str(part) for part in problem["loc"]) or "job"
    if problem["type"] == "extra_forbidden":
        known = _keys_of(section)
        near = difflib.get_close_matches(str(key), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"{name}: unknown key; {hint}"
    if problem["type"] == "missing":
        return f"{name}: missing"
    return f"{name}: {problem['msg'].removeprefix('Value error, ')}"


def _keys_of(section: list[Any]) -> list[str]:
    sections: dict[str, type[_Section]] = {
        "input": InputSpec,
        "models": ModelSpec,
        "output": OutputSpec,
        "triton": TritonSpec,
        "sharing": SharingSpec,
        "storage": StorageSpec,
    }
    return list((sections[str(section[0])] if section else JobSpec).model_fields)
