"""The page: one HTML file with all that it needs. It asks no network, and a browser lets it ask none."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ray_pipeline.errors import OutputError
from ray_pipeline.summary import units
from ray_pipeline.summary.charts import charts_of
from ray_pipeline.summary.figures import figures_of
from ray_pipeline.summary.folder import JobSeen
from ray_pipeline.summary.theme import theme
from triton_models.disk import write_file

MOST_RUNS = 50
MOST_NODES = 50
MOST_KINDS = 20
"""So many runs, nodes and kinds of rejection are told of one by one: of runs the last, of others the largest."""

_FILTERS = (
    units.count,
    units.rate,
    units.span,
    units.latency,
    units.size,
    units.share,
    units.moment,
    units.money,
    units.cut,
)


def page_of(job: JobSeen, price_per_node_hour: float | None = None) -> str:
    """The page of a job, with what it cost if there is a price for an hour of a node that scores."""
    figures = figures_of(job.recorded)
    environment = Environment(
        loader=PackageLoader("ray_pipeline.summary", "template"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {one.__name__: one for one in _FILTERS}
    scripts = [_drawing(), _script(_file(environment, "report.js"))]
    return environment.get_template("report.html").render(
        job=job,
        figures=figures,
        charts=charts_of(figures),
        themes={"light": theme(dark=False), "dark": theme(dark=True)},
        cost=figures.cost(price_per_node_hour) if price_per_node_hour is not None else None,
        state=state_of(job),
        difference=difference_of(job),
        style=Markup(_file(environment, "report.css")),
        scripts=scripts,
        hashes=[_hash(script) for script in scripts],
        most_runs=MOST_RUNS,
        most_nodes=MOST_NODES,
        most_kinds=MOST_KINDS,
    )


def write_page(path: Path, page: str) -> None:
    """Puts a page in its place in one step, over one that is there. Raises OutputError."""
    try:
        write_file(path, page.encode())
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}); name another file with --html") from error


def state_of(job: JobSeen) -> str:
    """Whether it is `complete`, is `running`, or has `failed`; `stopped` if nobody has said why."""
    if job.progress.is_complete:
        return "complete"
    if job.progress.is_running:
        return "running"
    return "failed" if job.recorded.runs and job.recorded.runs[-1].error is not None else "stopped"


def difference_of(job: JobSeen) -> str | None:
    """What the record does not tell of what the folder holds, for people; None if they agree."""
    if not job.recorded.runs:
        return "There is no record of how this job has gone, so only what its folder counts is told."
    if job.told == job.there:
        return None
    why = (
        "the job runs, and its record and its ledger are written every few seconds"
        if job.progress.is_running
        else "a run that is killed loses its last page, and what was taken out of the folder stays in the record"
    )
    return (
        f"The record tells of {job.told}, the folder holds {job.there}: {why}. The totals are those of the folder, "
        "everything over time is that of the record."
    )


_BUNDLE = """
import os, sys, vl_convert
sys.stdout.buffer.write(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").encode())
sys.stdout.flush()
os._exit(0)
"""


@cache
def _drawing() -> Markup:
    """Vega, Vega-Lite and Vega-Embed in one script."""
    # In a process of its own: the JavaScript engine that puts it together leaves threads behind, one of which has been
    # seen to crash its process as that ended. This one ends before anything is taken apart.
    made = subprocess.run([sys.executable, "-c", _BUNDLE], stdout=subprocess.PIPE, check=True)
    return _script(made.stdout.decode())


def _file(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _script(code: str) -> Markup:
    """Code as the content of a script element, which nothing in a text of it can end."""
    return Markup(re.sub(r"<(?=/script|!--)", r"\\x3c", code, flags=re.IGNORECASE))


def _hash(script: str) -> str:
    """How a page says which scripts may run in it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
