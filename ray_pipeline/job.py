"""The story of a job: what there is to do, who does it, and whether it all adds up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ray_pipeline.beside import behind_users, manners_of, mind_users
from ray_pipeline.crew import Crew
from ray_pipeline.errors import OutputError
from ray_pipeline.models import check_input_types, job_model
from ray_pipeline.output import parts
from ray_pipeline.output.claim import check_job, claim, read_claim, read_plan, write_plan
from ray_pipeline.output.fingerprint import Fingerprint, fingerprint, fixed_versions
from ray_pipeline.output.ledger import Ledger
from ray_pipeline.output.left import Left, what_is_left
from ray_pipeline.output.lock import check_free, locked
from ray_pipeline.output.steering import read_steering
from ray_pipeline.output.success import Totals, finish, read_success, withdraw
from ray_pipeline.pipeline import Flow, score_chunks
from ray_pipeline.placement import addresses_of, connected
from ray_pipeline.plan import Plan, check_named, make_plan
from ray_pipeline.refresh import refreshed
from ray_pipeline.report import Report
from ray_pipeline.roll import called_roll
from ray_pipeline.scoring.actor import Scoring
from ray_pipeline.servers import repository_of, resolve_versions, running, servers_for, ways_to
from ray_pipeline.sharing.lane import Manners
from ray_pipeline.sinks.formats import SINKS
from ray_pipeline.sinks.part import PartResult
from ray_pipeline.spec import JobSpec
from ray_pipeline.telemetry.tell import NOTHING_MORE, Telemetry, telling
from ray_pipeline.unwrapped import worker_errors_unwrapped
from triton_models.server.credentials import NONE
from triton_models.storage import Storage, open_storage


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


def run_job(
    spec: JobSpec,
    home: Path,
    ray_address: str | None,
    report: Report,
    again: Again = Again(),
    telemetry: Telemetry = NOTHING_MORE,
) -> Totals:
    """Scores everything that is not scored yet; the same call resumes a job that was killed.

    `home` is Rayton's folder on this machine, `ray_address` a running Ray cluster (None starts one here). Gives the
    totals of the whole job. Raises RaytonError: then there is no `_SUCCESS`, and all that was committed stays.
    """
    output = open_storage(spec.output.uri, spec.storage.endpoint_url, spec.storage.timeout_s)
    earlier = read_claim(output)
    if (complete := _complete(spec, output, earlier, again)) is not None:
        report.already_complete(complete)
        return complete
    check_free(output)  # locking it comes later, when nothing else can keep the job from starting
    kept = read_plan(output)
    plan = _plan(spec, output, kept, again, report)
    repository = repository_of(spec, home)
    report.planned(plan)
    with (
        worker_errors_unwrapped(),
        behind_users(spec, home, ray_address) as front,
        connected(ray_address, telemetry.metrics_port) as nodes,
    ):
        crew = _crew(spec, earlier, repository, nodes, plan)
        with locked(output):
            claim(output, fingerprint(spec, [*crew.versions.values()], [model.checksum for model in crew.models]))
            left = _begin(spec, output, kept, plan, again)
            report.resolved(crew.models, nodes)
            manners = manners_of(spec, output, home, crew)
            mind_users(spec, manners, front, crew, report)
            if manners is not None:
                report.steered(read_steering(output))
            results = _scored(spec, output, home, plan, left, crew, manners, report, telemetry)
            totals = finish(output, SINKS[spec.output.format], plan, results)
    report.finished(totals)
    return totals


def _complete(spec: JobSpec, output: Storage, earlier: Fingerprint | None, again: Again) -> Totals | None:
    """The totals of a job that is complete and has nothing more to do. Raises OutputError for the folder of another."""
    if earlier is None:
        return None
    check_job(output, earlier, spec)
    found = read_success(output)
    return None if again.anything else found


def _plan(spec: JobSpec, output: Storage, kept: Plan | None, again: Again, report: Report) -> Plan:
    """The plan that the first run has left, brought up to date where that is wanted, or a new one."""
    if kept is None:
        return make_plan(spec)
    check_named(kept, spec.input.uri)
    if not (again.refresh or again.rescore_changed):
        return kept
    committed = parts.committed(output, SINKS[spec.output.format])
    found = refreshed(spec, kept, committed, rescore_changed=again.rescore_changed)
    report.refreshed(found)
    return found.plan


def _crew(spec: JobSpec, earlier: Fingerprint | None, repository: Storage, nodes: Sequence[str], plan: Plan) -> Crew:
    """Who scores. Raises InputError if a column cannot hold what a model asks for."""
    versions = resolve_versions(spec, fixed_versions(spec, earlier), repository, nodes)
    models = [job_model(model, repository, version) for model, version in zip(spec.models, versions, strict=True)]
    for model in models:
        check_input_types(model, plan.schema)
    return Crew(repository, tuple(models), tuple(nodes))


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
    _check_bearable(left.rejected, spec, plan)
    return left


def _scored(
    spec: JobSpec,
    output: Storage,
    home: Path,
    plan: Plan,
    left: Left,
    crew: Crew,
    manners: Manners | None,
    report: Report,
    telemetry: Telemetry,
) -> list[PartResult]:
    """Scores what is left; each result is told, noted and shown as it comes."""
    flow, scoring = _flow(spec, output, plan, left, crew), _scoring(spec, output, manners, telemetry)
    with telling(output, addresses_of(crew.nodes), home, telemetry) as tell:
        report.log(tell.log)
        with called_roll(crew.nodes) as roll, servers_for(spec, manners, crew, home, roll) as find_server:
            ways, away = ways_to(find_server, spec.triton, crew.nodes, scoring.credentials)
            report.connected(list(ways.values()))
            roll.begin(find_server, away, scoring.credentials)
            report.remaining(left)
            # Closed before Ray is, which its threads must not outlive.
            with closing(score_chunks(left.chunks, flow, len(crew.nodes), find_server, scoring, roll)) as scored:
                told = roll.told(tell.parts(scored), tell.news(report.node))
                noted = Ledger(output, again=left.again).noted(told)
                return list(_bearable(report.watched(noted), spec, plan, left.rejected))


def _flow(spec: JobSpec, output: Storage, plan: Plan, left: Left, crew: Crew) -> Flow:
    """What every worker needs to know."""
    return Flow(
        input=open_storage(plan.folder, spec.storage.endpoint_url, spec.storage.timeout_s),
        output=output,
        sink=SINKS[spec.output.format],
        schema=plan.schema,
        models=crew.models,
        keep=spec.input.keep,
        again=frozenset(left.again),
    )


def _scoring(spec: JobSpec, output: Storage, manners: Manners | None, telemetry: Telemetry) -> Scoring:
    """How the actors score."""
    return Scoring(
        spec.triton.timeout_s,
        spec.triton.transport,
        spec.output.on_nonfinite,
        manners,
        spec.triton.credentials if running(spec, manners) is not None else NONE,
        job=output.uri,
        traced=telemetry.otlp_endpoint is not None,
    )


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
