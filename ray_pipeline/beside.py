"""A job beside online users: it steps back, it has manners, and others look after the users in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ray_pipeline.background import stepped_back
from ray_pipeline.crew import Crew
from ray_pipeline.report import Report
from ray_pipeline.room import model_bytes, on_gpus
from ray_pipeline.served import is_on_loopback
from ray_pipeline.servers import cautions_of, free_memory, release_cautions_of
from ray_pipeline.sharing.choice import choose_lane, named_lane
from ray_pipeline.sharing.kept import KeptLimiter
from ray_pipeline.sharing.lane import Manners
from ray_pipeline.sharing.limit import Bound
from ray_pipeline.spec import JobSpec
from triton_models.server.balancing import Balancer
from triton_models.storage import Storage

DEFAULT_SLOWDOWN = 1.5
"""How many times as long users may wait beside a job in the shared lane that does not say."""


@dataclass(frozen=True)
class Front:
    """What does not step back with the job, as users wait for it."""

    balancer: Balancer
    limiter: KeptLimiter


@contextmanager
def behind_users(spec: JobSpec, home: Path, ray_address: str | None) -> Iterator[Front | None]:
    """Beside online users the whole job steps back; not the Ray of others, which they have started as they want."""
    if spec.beside_users is None or ray_address is not None:
        yield None
        return
    with closing(KeptLimiter(home)) as limiter, stepped_back() as balancer:
        yield Front(balancer, limiter)


def manners_of(spec: JobSpec, output: Storage, home: Path, crew: Crew) -> Manners | None:
    """How the job behaves beside online users; None: there are none to be minded."""
    sharing = spec.beside_users
    if sharing is None:
        return None
    lane = named_lane(sharing.lane, sharing.bulk_url) or choose_lane(
        spec.triton.url,
        on_gpus(crew.repository, crew.versions),
        model_bytes(crew.repository, crew.versions),
        free_memory(crew.nodes),
    )
    if lane.lane == "own":
        return Manners(output, lane, None, home, pause_file=sharing.pause_file, bulk_url=sharing.bulk_url)
    slo_s = None if sharing.online_slo_ms is None else sharing.online_slo_ms / 1e3
    slowdown = None if slo_s is not None else sharing.max_slowdown or DEFAULT_SLOWDOWN
    bound = Bound(sharing.quantile, slowdown, slo_s)
    return Manners(output, lane, bound, home, sharing.weight, sharing.priority, sharing.max_share, sharing.pause_file)


def mind_users(spec: JobSpec, manners: Manners | None, front: Front | None, crew: Crew, report: Report) -> None:
    """Says what the users of the running servers may notice, and lets those in front look after them."""
    url = spec.triton.url
    if url is not None and not is_on_loopback(url):
        report.cautions(release_cautions_of(spec.triton, crew.nodes))
    if manners is None:
        return
    report.lane(manners, url)
    if url is None:
        return
    if manners.bound is None:
        if front is not None:
            report.balanced(url, front.balancer.balance(url))
        return
    if front is not None:
        front.limiter.keep(url, spec.triton.credentials)
    report.cautions(cautions_of(spec.triton, crew.versions, crew.nodes))
