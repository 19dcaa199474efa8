"""What a person sees of a running job: a bar on a terminal, plain lines elsewhere, and a summary at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from ray_pipeline.models import JobModel
from ray_pipeline.output.left import Left
from ray_pipeline.output.steering import Steering
from ray_pipeline.output.success import Totals
from ray_pipeline.plan import Plan
from ray_pipeline.refresh import Refresh, named
from ray_pipeline.sharing.lane import Manners
from ray_pipeline.sinks.part import PartResult
from ray_pipeline.transport.choose import Choice

_LINE_EVERY_S = 10.0
_WAYS = {"grpc": "gRPC", "shared_memory": "shared memory"}


class Report:
    """Tells the story of a job while it happens. `output` is the URI of the output folder."""

    def __init__(self, console: Console, output: str) -> None:
        self._console, self._output = console, output
        self._started = time.monotonic()
        self._left = Left()

    def planned(self, plan: Plan) -> None:
        """Says what the whole job is."""
        self._say(f"input   {plan.folder}: {plan.rows:,} rows in {len(plan.chunks):,} chunks")
        self._say(f"output  {self._output}")

    def refreshed(self, found: Refresh) -> None:
        """Says how the input differs from the plan."""
        self._say(
            f"refresh {len(found.new):,} new, {len(found.changed):,} changed, {len(found.vanished):,} vanished objects"
        )
        for what, paths in (("changed", found.changed), ("vanished", found.vanished)):
            if paths:
                self._say(f"        {what}: {named(paths)}")

    def resolved(self, models: Sequence[JobModel], nodes: Sequence[str]) -> None:
        """Says which versions score, and on how many nodes."""
        names = ", ".join(f"{model.name} version {model.version}" for model in models)
        self._say(f"model   {names}, on {len(nodes)} node{'s' if len(nodes) != 1 else ''}")

    def log(self, place: str) -> None:
        """Says where the log of the job is."""
        self._say(f"log     {place}")

    def lane(self, manners: Manners, online: str | None) -> None:
        """Says which lane the job takes beside the users of the server `online`, why, and what they may notice."""
        self._say(f"lane    {manners.lane.lane}: {manners.lane.why}")
        if (bound := manners.bound) is None:
            left_alone = f"; {online} is left to its online users" if online is not None else ""
            second = "a second server" if manners.bulk_url is None else manners.bulk_url
            self._say(f"        {second} on each node takes what nobody else wants{left_alone}")
            return
        most = f"{bound.slo_s * 1e3:g} ms" if bound.slo_s is not None else f"{bound.max_slowdown:g} times as long"
        self._say(f"        {bound.quantile:.0%} of online users wait at most {most}; what limits the job is told in")
        self._say(f"        {manners.home}/logs/limiter-*.jsonl of each node")

    def steered(self, steering: Steering) -> None:
        """Says what an operator has said of the job before it began."""
        for line in steering.told(self._output):
            self._say(line)

    def balanced(self, online: str, why_not: str | None) -> None:
        """Says whether the threads of the server `online` are kept from sharing processors."""
        if why_not is None:
            self._say(f"        threads of {online} that share a processor move to one where the job runs")
        else:
            self.cautions([f"threads of {online} may share a processor while the job runs on another: {why_not}"])

    def cautions(self, cautions: Sequence[str]) -> None:
        """Says what may trouble the users of servers."""
        for caution in cautions:
            self._say(f"caution {caution}")

    def connected(self, ways: Sequence[Choice]) -> None:
        """Says how batches reach the servers of the nodes, and why so."""
        for way, nodes in Counter(ways).items():
            where = f" on {nodes} of {len(ways)} nodes" if nodes < len(ways) else ""
            self._say(f"send    through {_WAYS[way.transport]}{where}: {way.why}")

    def node(self, news: str) -> None:
        """Says what has become of a node or its server."""
        self._say(f"nodes   {news}")

    def remaining(self, left: Left) -> None:
        """Says what is left to do."""
        self._left = left
        if left.committed:
            chunks, rows = len(left.chunks) - len(left.again), left.rows - sum(left.again.values())
            self._say(f"resume  {left.committed:,} chunks are committed, {chunks:,} with {rows:,} rows are left")
        if left.again:
            self._say(
                f"retry   {sum(left.again.values()):,} rejected rows of {len(left.again):,} chunks are scored again"
            )

    def watched(self, results: Iterator[PartResult]) -> Iterator[PartResult]:
        """Passes the results on and shows how far the job is."""
        pace = _Pace(self._left.rows)
        columns = (TextColumn("        "), BarColumn(), TextColumn("{task.description}"))
        next_line_s = _LINE_EVERY_S
        with Progress(*columns, console=self._console, disable=not self._console.is_terminal) as bar:
            task = bar.add_task(str(pace), total=pace.rows)
            for result in results:
                pace.add(self._left.again.get(result.chunk, result.scored + result.rejected))
                bar.update(task, completed=pace.done, description=str(pace))
                if bar.disable and pace.seconds >= next_line_s:
                    self._say(f"        {pace}")
                    next_line_s = pace.seconds + _LINE_EVERY_S
                yield result

    def already_complete(self, totals: Totals) -> None:
        """Says that there was nothing to do."""
        self._say(f"done    {counted(totals)}; the job was complete before")
        self._where(totals)

    def finished(self, totals: Totals) -> None:
        """The summary."""
        self._say(f"done    {counted(totals)}; this run took {time.monotonic() - self._started:.1f} s")
        self._where(totals)

    def _where(self, totals: Totals) -> None:
        self._say(f"        {self._output}/data")
        if totals.rejected:
            self._say(f"        {self._output}/rejected names the rejected rows, and why")

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


class _Pace:
    """How far a run is and how fast. The speed counts from the first chunk's end: before it, workers were starting."""

    def __init__(self, rows: int) -> None:
        self.rows, self.done = rows, 0
        self._began = time.monotonic()
        self._first: tuple[int, float] | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def add(self, rows: int) -> None:
        self.done += rows
        if self._first is None:
            self._first = self.done, self.seconds

    def __str__(self) -> str:
        text = f"{self.done:,} of {self.rows:,} rows"
        if self._first is None or self.done == self._first[0]:
            return text
        rows_per_s = (self.done - self._first[0]) / max(self.seconds - self._first[1], 1e-9)
        left_s = (self.rows - self.done) / rows_per_s
        return f"{text}, {rows_per_s:,.0f} rows/s, {duration(left_s)} left"


def counted(totals: Totals) -> str:
    """The totals of a job as people say them."""
    return f"{totals.rows:,} rows = {totals.scored:,} scored + {totals.rejected:,} rejected, in {totals.parts:,} parts"


def duration(seconds: float) -> str:
    """A span of time as people say it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {rest:02}s" if minutes else f"{rest}s"
