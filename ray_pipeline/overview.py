"""What a person sees of a job that another process runs, or that is over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console

from ray_pipeline.errors import OutputError
from ray_pipeline.progress import Progress
from ray_pipeline.report import duration


class Overview:
    """Tells of a job that this process does not run. `output` is the URI of the output folder."""

    def __init__(self, console: Console, output: str) -> None:
        self._console, self._output = console, output

    def planned(self, progress: Progress) -> None:
        """What a run would do."""
        self._input(progress)
        self._done(progress)
        left = len(progress.plan.chunks) - progress.chunks_done
        if not left:
            return
        self._say(
            f"left    {left:,} chunks with {progress.plan.rows - progress.rows_done:,} rows, {self._time(progress)}"
        )

    def status(self, claim: Mapping[str, Any], progress: Progress) -> None:
        """How far it is."""
        models = ", ".join(f"{model['name']} version {model['version']}" for model in claim["models"])
        self._input(progress)
        self._say(f"model   {models}")
        self._done(progress)
        self._say(f"        {progress.scored:,} scored + {progress.rejected:,} rejected")
        if progress.is_complete:
            self._say("        the job is complete")
        else:
            self._say(f"left    {progress.plan.rows - progress.rows_done:,} rows, {self._time(progress)}")
            self._say(f"run     {progress.runs}")
            for line in progress.steering.told(self._output):
                self._say(line)

    def verified(self, checked: Iterator[tuple[int, str | None]]) -> None:
        """The verdict. Raises OutputError naming every part that is not what it should be."""
        faults, parts, rows = [], 0, 0
        for rows_of_part, fault in checked:
            parts, rows = parts + 1, rows + rows_of_part
            if fault is not None:
                faults.append(fault)
        if faults:
            lines = "\n".join(f"  {fault}" for fault in faults)
            raise OutputError(
                f"{self._output}: {len(faults)} of {parts} parts are not what the job wrote:\n{lines}\n"
                "delete these parts and _SUCCESS, and run the job again: it scores their chunks"
            )
        self._say(f"{self._output}: {parts:,} parts with {rows:,} rows are there, unchanged, and add up")

    def _input(self, progress: Progress) -> None:
        plan = progress.plan
        size = f"{plan.size_bytes / 1e6:,.1f} MB"
        self._say(f"input   {plan.folder}: {plan.rows:,} rows in {len(plan.chunks):,} chunks, {size}")
        self._say(f"output  {self._output}")

    def _done(self, progress: Progress) -> None:
        share = progress.rows_done / max(progress.plan.rows, 1)
        self._say(f"done    {progress.chunks_done:,} chunks with {progress.rows_done:,} rows ({share:.1%})")

    def _time(self, progress: Progress) -> str:
        if progress.left_s is None:
            return "how long that takes is not known before some are scored"
        return f"about {duration(progress.left_s)} at {progress.rows_per_s:,.0f} rows/s"

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
