"""What online users notice of bulk scoring beside them, and what bulk gets of what they leave.

Users send single rows to a Triton with all-MiniLM-L6-v2 (64 tokens, open loop, Poisson) while nothing else runs, while
the loop that everybody writes scores beside them (32 rows a batch, 4 in flight), and while Rayton does, in each way of
sharing. Phases take turns and are repeated. The users' utilisation is their rate times the seconds of one row alone,
which are taken anew before each turn, as machines grow faster and slower; left over for bulk is (1 - utilisation) of
what Rayton reaches without users. Each phase is held against the same users alone, and bulk alone, of the same turn,
which are taken as near to it as can be; ratios are medians of those of the turns. Writes JSON and prints a table.

    python -m benchmarks.sharing
    python -m benchmarks.sharing --repeats 1 --seconds 15
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.measure import home, module, save, server_log
from benchmarks.online import Stretch, users
from benchmarks.stage import (
    ROWS,
    TOKENS,
    TUNINGS,
    TWO,
    Way,
    exported,
    in_its_stride,
    job_of,
    rate,
    seconds_alone,
    write_texts,
)
from triton_models.server.options import ServerOptions
from triton_models.server.process import NodeServer
from triton_models.server.runtime import ensure_runtime

QUANTILES = ("p50", "p95", "p99")
EXCLUSIVE = "exclusive"

BEFORE_S = 8.0
"""What is seen counts so long after a phase has begun: users who are there, and not those who come; what bulk scores,
and not what it had scored before it wrote its first parts."""


@dataclass(frozen=True)
class Goals:
    """The most that the latencies of users may be of those alone, and the least that bulk gets of what is left."""

    p50: float
    p95: float
    p99: float
    bulk: float


@dataclass(frozen=True, eq=False)
class Phase:
    """Users at a share of the machine (0: none), and what runs beside them."""

    name: str
    utilisation: float
    way: Way | None
    goals: Goals | None = None


@dataclass(frozen=True)
class Seen:
    """One turn of a phase: what users saw, and how many rows a second bulk scored meanwhile; one row alone took `row_s`
    seconds before the turn."""

    row_s: float = 0.0
    requests: int = 0
    errors: int = 0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    bulk_rows_per_s: float = 0.0


@dataclass(frozen=True)
class Setting:
    """A server of the users, and the phases that are taken with it."""

    name: str
    url: str
    phases: Sequence[Phase]

    @property
    def exclusive(self) -> Phase:
        """Bulk alone."""
        return next(phase for phase in self.phases if phase.name == EXCLUSIVE)


def main(
    repeats: Annotated[int, typer.Option(help="Turns of each phase.")] = 5,
    seconds: Annotated[float, typer.Option(help="How long users come in each turn.")] = 40.0,
    rows: Annotated[int, typer.Option(help="Texts to score; more than a turn can do.")] = ROWS,
) -> None:
    """Prepares, measures, reports."""
    runtime = ensure_runtime(home(), print)
    with TemporaryDirectory() as temporary, ExitStack() as servers:
        folder = Path(temporary)
        write_texts(folder / "texts", rows)
        settings = []
        for name, tuning in TUNINGS.items():
            version = exported(folder / name / "models", tuning)
            options = ServerOptions(folder / name / "models", server_log(f"sharing-{tuning.instances}"))
            server = servers.enter_context(NodeServer.start(runtime, options))
            phases = phases_of(name, folder / "texts", folder / name, version, server.grpc_url)
            settings.append(Setting(name, server.grpc_url, phases))
        turns = taken_in_turns(settings, repeats, seconds)
    report(settings, turns, repeats, seconds)


def phases_of(setting: str, texts: Path, folder: Path, version: Path, url: str) -> list[Phase]:
    """All that is measured with a server, in the order of the first turn; machines grow faster and slower within
    minutes, so that what is held against each other is taken one after the other."""
    repository = version.parent.parent

    def rayton(name: str, sharing: str = "") -> Way:
        return job_of(name, folder, texts, repository, url, sharing)

    exclusive = Phase(EXCLUSIVE, 0.0, rayton(EXCLUSIVE))
    if setting == TWO:
        shared = rayton("shared", 'lane = "shared"\nmax_slowdown = 1.5')
        return [
            Phase("alone", 0.12, None),
            Phase("shared lane", 0.12, shared, Goals(1.15, 1.5, 2.0, 0.5 / 0.88)),
            exclusive,
        ]
    words = ("--source", texts, "--output", folder / "naive", "--version", version, "--clients", 4, "--url", url)
    naive = Way("naive", module("benchmarks.rivals", "tritonclient", *words), folder / "naive")
    own, shared = rayton("own", 'lane = "own"'), rayton("shared", 'lane = "shared"\nmax_slowdown = 3')
    return [
        Phase("naive", 0.12, naive),
        Phase("alone", 0.5, None),
        Phase("own lane", 0.5, own, Goals(1.3, 1.3, 1.5, 0.65)),
        Phase("own lane", 0.12, own, Goals(1.2, 1.15, 1.25, 0.8)),
        Phase("alone", 0.12, None),
        exclusive,
        Phase("shared lane", 0.12, shared, Goals(3.0, 3.0, 3.5, 0.85)),
        Phase("nobody, shared lane", 0.0, shared, Goals(0, 0, 0, 0.92)),
    ]


Turns = dict[tuple[str, Phase], list[Seen]]
"""What was seen in each phase of each setting."""


def taken_in_turns(settings: Sequence[Setting], repeats: int, seconds: float) -> Turns:
    """Takes all phases `repeats` times, in turn there and in turn back; the users of one turn are the same in all."""
    order = [(setting, phase) for setting in settings for phase in setting.phases]
    turns: Turns = {(setting.name, phase): [] for setting, phase in order}
    for repeat in range(repeats):
        row_s = {setting.name: seconds_alone(setting.url) for setting in settings}
        for setting, phase in order[:: -1 if repeat % 2 else 1]:
            one_row_s = row_s[setting.name]
            seen = taken(phase, Stretch(phase.utilisation / one_row_s, seconds), repeat, setting.url)
            turns[setting.name, phase].append(replace(seen, row_s=one_row_s))
            print(
                f"{setting.name:24} {phase.name:20} {phase.utilisation:4.0%} {seen.requests:5} users  "
                f"p50 {seen.p50_ms:6.1f}  p95 {seen.p95_ms:6.1f}  p99 {seen.p99_ms:6.1f} ms  {seen.errors} errors  "
                f"bulk {seen.bulk_rows_per_s:6.1f} rows/s",
                flush=True,
            )
    return turns


def taken(phase: Phase, stretch: Stretch, seed: int, url: str) -> Seen:
    """One turn of a phase."""
    if phase.way is None:
        return asked(stretch, seed, url)
    with in_its_stride(phase.way):
        began_s = time.time() + BEFORE_S
        if stretch.rate_per_s:
            seen = asked(stretch, seed, url)
        else:
            time.sleep(BEFORE_S + stretch.seconds)
            seen = Seen()
        ended_s = time.time()
    return replace(seen, bulk_rows_per_s=rate(phase.way.output, began_s, ended_s))


def asked(stretch: Stretch, seed: int, url: str) -> Seen:
    """What users see."""
    stretches = [replace(stretch, seconds=BEFORE_S), stretch]
    with users(url, "minilm", TOKENS, stretches, seed) as seen:
        pass
    seen = seen.between(BEFORE_S, math.inf)
    errors = len(seen.latencies_s) - int((seen.latencies_s > 0).sum())
    for error in seen.errors:
        print(f"    {error}")
    p50_ms, p95_ms, p99_ms = (seen.quantile_ms(quantile) for quantile in (0.5, 0.95, 0.99))
    return Seen(requests=len(seen.latencies_s), errors=errors, p50_ms=p50_ms, p95_ms=p95_ms, p99_ms=p99_ms)


def median_of(turns: Sequence[Seen], field: str) -> float:
    """Over the turns of a phase."""
    return float(statistics.median(getattr(seen, field) for seen in turns))


def ratio_of(turns: Sequence[Seen], others: Sequence[Seen], field: str) -> float:
    """A figure of a phase as a multiple of that of another one in the same turn; the median over the turns."""
    pairs = zip(turns, others, strict=True)
    return float(statistics.median(getattr(seen, field) / getattr(other, field) for seen, other in pairs))


def report(settings: Sequence[Setting], turns: Turns, repeats: int, seconds: float) -> None:
    """Writes the JSON and prints the table."""
    table = Table(box=SIMPLE_HEAD)
    for heading in (
        "server",
        "users",
        "beside",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "errors",
        "rows/s",
        *QUANTILES,
        "of left",
    ):
        table.add_column(heading, justify="left" if heading in ("server", "beside") else "right")
    compared = []
    for setting in settings:
        exclusive = turns[setting.name, setting.exclusive]
        alone = {phase.utilisation: turns[setting.name, phase] for phase in setting.phases if phase.way is None}
        for phase in setting.phases:
            taken = turns[setting.name, phase]
            at_ms = {name: median_of(taken, f"{name}_ms") for name in QUANTILES} if phase.utilisation else {}
            ratios: dict[str, float] = {}
            if phase.way is not None:
                ratios = {name: ratio_of(taken, alone[phase.utilisation], f"{name}_ms") for name in at_ms}
                ratios["bulk"] = ratio_of(taken, exclusive, "bulk_rows_per_s") / (1 - phase.utilisation)
            compared.append(
                {"server": setting.name, "phase": phase.name, "utilisation": phase.utilisation, **at_ms}
                | {"ratios": ratios, "goals": phase.goals and asdict(phase.goals)}
            )
            table.add_row(
                setting.name,
                f"{phase.utilisation:.0%}",
                phase.name,
                *(f"{at_ms[name]:.1f}" if at_ms else "" for name in QUANTILES),
                str(sum(seen.errors for seen in taken)),
                f"{median_of(taken, 'bulk_rows_per_s'):.1f}" if phase.way else "",
                *(shown(name, ratios.get(name), phase.goals) for name in (*QUANTILES, "bulk")),
            )
    what = {
        "what": f"all-MiniLM-L6-v2, {TOKENS} tokens; latencies of users in ms, and as ratios to the same users alone",
        "repeats": repeats,
        "seconds": seconds,
        "turns": [
            {
                "server": name,
                "phase": phase.name,
                "utilisation": phase.utilisation,
                "seen": [asdict(one) for one in taken],
            }
            for (name, phase), taken in turns.items()
        ],
        "compared": compared,
    }
    save("sharing", what)
    Console(width=150).print(table)


def shown(name: str, ratio: float | None, goals: Goals | None) -> str:
    """A ratio, and whether it misses its goal."""
    if ratio is None:
        return ""
    if goals is None:
        return f"{ratio:.2f}"
    goal = getattr(goals, name)
    met = ratio >= goal if name == "bulk" else ratio <= goal
    return f"{ratio:.2f} ({goal:g})" if met else f"{ratio:.2f} missed ({goal:g})"


if __name__ == "__main__":
    typer.run(main)
