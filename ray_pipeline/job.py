"""The story of a job: what there is to do, who does it, and whether it all adds up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from ray.exceptions import RayTaskError

from ray_pipeline.background import stepped_back
from ray_pipeline.errors import OutputError
from ray_pipeline.managed import managed_servers
from ray_pipeline.models import JobModel, check_input_types, job_model
from ray_pipeline.output import parts
from ray_pipeline.output.claim import check_job, claim, read_claim, read_plan, write_plan
from ray_pipeline.output.fingerprint import fingerprint, fixed_versions
from ray_pipeline.output.ledger import Ledger
from ray_pipeline.output.left import Left, what_is_left
from ray_pipeline.output.lock import check_free, locked
from ray_pipeline.output.success import Totals, finish, read_success, withdraw
from ray_pipeline.pipeline import Flow, score_chunks
from ray_pipeline.placement import FindServer, connected
from ray_pipeline.plan import Plan, make_plan
from ray_pipeline.refresh import refreshed
from ray_pipeline.report import Report
from ray_pipeline.roll import Roll, called_roll
from ray_pipeline.room import model_bytes, on_gpus
from ray_pipeline.scoring.actor import Scoring
from ray_pipeline.servers import SameAddress, cautions_of, free_memory, repository_of, resolve_versions, ways_to
from ray_pipeline.sharing.choice import choose_lane, named_lane
from ray_pipeline.sharing.kept import KeptLimiter
from ray_pipeline.sharing.lane import Manners
from ray_pipeline.sharing.limit import Bound
from ray_pipeline.sinks.formats import SINKS
from ray_pipeline.sinks.part import PartResult
from ray_pipeline.spec import JobSpec
from triton_models.errors import RaytonError
from triton_models.server.balancing import Balancer
from triton_models.storage import Storage, open_storage

DEFAULT_SLOWDOWN = 1.5
"""How many times as long users may wait beside a job in the shared lane that does not say."""


@dataclass(frozen=True)
class Again:
    """What a run does beside going on: look for new objects, replace changed ones, score rejected rows again."""

    refresh: bool = False
    rescore_changed: bool = False
    retry_rejected: bool = False

    @property
    def anything(self) -> bool:
        """Whether a complete job may have more to do."""
        return self.refresh or self.rescore_changed or self.retry_rejected


def run_job(spec: JobSpec, home: Path, ray_address: str | None, report: Report, again: Again = Again()) -> Totals:
    """Scores everything that is not scored yet; the same call resumes a job that was killed.

    `home` is Rayton's folder on this machine, `ray_address` a running Ray cluster (None starts one here). Gives the
    totals of the whole job. Raises RaytonError: then there is no `_SUCCESS`, and all that was committed stays.
    """
    output = open_storage(spec.output.uri, spec.storage.endpoint_url, spec.storage.timeout_s)
    earlier = read_claim(output)
    fixed = fixed_versions(spec, earlier)
    if earlier is not None:
        check_job(output, earlier, spec)
        if (complete := read_success(output)) and not again.anything:
            report.already_complete(complete)
            return complete
    check_free(output)  # locking it comes later, when nothing else can keep the job from starting
    kept = read_plan(output)
    plan = _plan(spec, output, kept, again, report)
    repository = repository_of(spec, home)
    report.planned(plan)
    with _worker_errors_unwrapped(), _stepped_back(spec, home, ray_address) as front, connected(ray_address) as nodes:
        versions = resolve_versions(spec, fixed, repository, nodes)
        models = [job_model(model, repository, version) for model, version in zip(spec.models, versions, strict=True)]
        for model in models:
            check_input_types(model, plan.schema)
        with locked(output):
            claim(output, fingerprint(spec, versions, [model.checksum for model in models]))
            left = _begin(spec, output, kept, plan, again)
            _check_bearable(left.rejected, spec, plan)
            report.resolved(models, nodes)
            wanted = {model.name: model.version for model in models}
            manners = _manners(spec, repository, wanted, nodes, output, home)
            if manners is not None:
                report.lane(manners, spec.triton.url)
                if front is not None and spec.triton.url is not None:
                    _put_in_front(front, manners, spec.triton.url, report)
                if manners.bound is not None and spec.triton.url is not None:
                    report.cautions(cautions_of(spec.triton.url, wanted, nodes, spec.triton.timeout_s))
            with (
                called_roll(nodes) as roll,
                _servers(spec, manners, repository, wanted, home, nodes, roll) as find_server,
            ):
                ways, away = ways_to(find_server, spec.triton, nodes)
                report.connected(list(ways.values()))
                roll.begin(find_server, away)
                report.remaining(left)
                scored = _scored(spec, plan, output, models, manners, len(nodes), find_server, roll, left)
                noted = Ledger(output, again=left.again).noted(roll.told(scored, report.node))
                results = list(_bearable(report.watched(noted), spec, plan, left.rejected))
            totals = finish(output, SINKS[spec.output.format], plan, results)
    report.finished(totals)
    return totals


def _plan(spec: JobSpec, output: Storage, kept: Plan | None, again: Again, report: Report) -> Plan:
    """The plan that the first run has left, brought up to date where that is wanted, or a new one."""
    if kept is None:
        return make_plan(spec)
    if not (again.refresh or again.rescore_changed):
        return kept
    committed = parts.committed(output, SINKS[spec.output.format])
    found = refreshed(spec, kept, committed, rescore_changed=again.rescore_changed)
    report.refreshed(found)
    return found.plan


def _begin(spec: JobSpec, output: Storage, kept: Plan | None, plan: Plan, again: Again) -> Left:
    """Keeps the plan, and leaves in the folder only what the plan lets stand; gives what is left to do.

    Raises OutputError if the plan in the folder is no longer `kept`: what that run has scored would be removed.
    """
    sink = SINKS[spec.output.format]
    if read_plan(output) != kept:
        raise OutputError(f"{output.uri}: another run has planned anew since this one began; run again")
    withdraw(output)
    if kept != plan:
        write_plan(output, plan)
    there = parts.tidy(output, sink, plan)
    left = what_is_left(output, sink, plan, there, retry_rejected=again.retry_rejected)
    if left.again:
        Ledger(output).forget(left.again)
    return left


def _bearable(results: Iterator[PartResult], spec: JobSpec, plan: Plan, before: int) -> Iterator[PartResult]:
    """Passes results on until too many rows are rejected, those `before` this run too. Raises OutputError then."""
    rejected = before
    for result in results:
        rejected += result.rejected
        _check_bearable(rejected, spec, plan)
        yield result


def _check_bearable(rejected: int, spec: JobSpec, plan: Plan) -> None:
    """Raises OutputError if more rows are rejected than the job file allows of the whole."""
    if rejected > spec.output.max_rejected * plan.rows:
        raise OutputError(
            f"{rejected:,} of {plan.rows:,} rows are rejected, more than output.max_rejected = "
            f"{spec.output.max_rejected:g} allows; {spec.output.uri}/rejected says why. What is committed stays: "
            "raise the limit and run again, or correct the cause and run with `--retry-rejected`"
        )


@dataclass(frozen=True)
class _Front:
    """What does not step back with the job, as users wait for it."""

    balancer: Balancer
    limiter: KeptLimiter


@contextmanager
def _stepped_back(spec: JobSpec, home: Path, ray_address: str | None) -> Iterator[_Front | None]:
    """Beside online users the whole job steps back; not the Ray of others, which they have started as they want."""
    if spec.beside_users is None or ray_address is not None:
        yield None
        return
    with closing(KeptLimiter(home)) as limiter, stepped_back() as balancer:
        yield _Front(balancer, limiter)


def _put_in_front(front: _Front, manners: Manners, url: str, report: Report) -> None:
    """Lets those in front look after the users of the server at `url`, as the job's lane needs it."""
    if manners.bound is None:
        report.balanced(url, front.balancer.balance(url))
    else:
        front.limiter.keep(url)


def _manners(
    spec: JobSpec, repository: Storage, versions: Mapping[str, int], nodes: Sequence[str], output: Storage, home: Path
) -> Manners | None:
    """How the job behaves beside online users; None: there are none to be minded."""
    sharing = spec.beside_users
    if sharing is None:
        return None
    lane = named_lane(sharing.lane, sharing.bulk_url) or choose_lane(
        spec.triton.url, on_gpus(repository, versions), model_bytes(repository, versions), free_memory(nodes)
    )
    if lane.lane == "own":
        return Manners(output, lane, None, home, pause_file=sharing.pause_file, bulk_url=sharing.bulk_url)
    slo_s = None if sharing.online_slo_ms is None else sharing.online_slo_ms / 1e3
    slowdown = None if slo_s is not None else sharing.max_slowdown or DEFAULT_SLOWDOWN
    bound = Bound(sharing.quantile, slowdown, slo_s)
    return Manners(output, lane, bound, home, sharing.weight, sharing.priority, sharing.max_share, sharing.pause_file)


def _servers(
    spec: JobSpec,
    manners: Manners | None,
    repository: Storage,
    versions: Mapping[str, int],
    home: Path,
    nodes: Sequence[str],
    roll: Roll,
) -> AbstractContextManager[FindServer]:
    """The servers that score: those that run, or others for this job, in the background beside online users."""
    own_lane = manners is not None and manners.bound is None
    running = manners.bulk_url if manners is not None and own_lane else spec.triton.url
    if running is not None:
        return nullcontext(SameAddress(running))
    users_url = spec.triton.url if own_lane else None
    return managed_servers(repository, versions, home, nodes, roll, background=own_lane, users_url=users_url)


def _scored(
    spec: JobSpec,
    plan: Plan,
    output: Storage,
    models: Sequence[JobModel],
    manners: Manners | None,
    nodes: int,
    find_server: FindServer,
    roll: Roll,
    left: Left,
) -> Iterator[PartResult]:
    """Scores what is left."""
    if not left.chunks:
        return iter(())
    flow = Flow(
        input=open_storage(plan.folder, spec.storage.endpoint_url, spec.storage.timeout_s),
        output=output,
        sink=SINKS[spec.output.format],
        schema=plan.schema,
        models=tuple(models),
        keep=spec.input.keep,
        again=frozenset(left.again),
    )
    scoring = Scoring(spec.triton.timeout_s, spec.triton.transport, spec.output.on_nonfinite, manners)
    return score_chunks(left.chunks, flow, nodes, find_server, scoring, roll)


@contextmanager
def _worker_errors_unwrapped() -> Iterator[None]:
    """An error that a worker raised for a person arrives inside Ray's errors; it is what the person shall see."""
    try:
        yield
    except Exception as error:
        ours = _outermost_of_ours(error)
        if ours is None or ours is error:
            raise
        raise ours from error


def _outermost_of_ours(error: BaseException) -> RaytonError | None:
    """The first RaytonError on the way down the causes of `error` that is not one of Ray's wrappers."""
    seen: BaseException | None = error
    while seen is not None:
        # Ray's wrapper of an error is an instance of that error's class too.
        if isinstance(seen, RaytonError) and not isinstance(seen, RayTaskError):
            return seen
        seen = getattr(seen, "cause", None) or seen.__cause__
    return None
