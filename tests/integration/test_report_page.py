"""`rayton report` as a user runs it, on a disk and in a bucket, and its page in a real browser without a network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ray_pipeline.summary.folder import read_job
from ray_pipeline.summary.page import page_of
from ray_pipeline.telemetry.record import Page, Run
from rayton import app
from tests.support.browser import Browser, Scheme, browser, missing
from tests.support.command import run_rayton
from tests.support.committed import CommittedJob
from tests.support.pages import BEGAN_S
from tests.support.records import pages_of, write_record
from tests.support.s3 import object_store
from triton_models.storage import Storage, open_storage

PHONE, DESKTOP = (390, 844), (1280, 900)
CHARTS = {"rates", "stages", "latencies", "batch-rows", "limits", "limit-seconds", "canaries"}
MOST_BYTES = 5_000_000
HOSTILE = "</script><script>console.error('mine')</script>"

WIDER = """
const edge = document.documentElement.clientWidth + 0.5;
const scrolls = (element) => element.closest(".scroll") !== null;
return [...document.querySelectorAll("body *")]
  .filter((one) => !scrolls(one) && one.getBoundingClientRect().right > edge)
  .map((one) => `${one.tagName} ${one.id} ${one.textContent.slice(0, 40)}`);
"""
MARKS = """
const marks = (chart) => [...chart.querySelectorAll(".role-mark path, .role-mark line")];
const seen = (mark) => { const box = mark.getBoundingClientRect(); return box.width > 0 || box.height > 0; };
return Object.fromEntries([...document.querySelectorAll(".chart")].map(
  (chart) => [chart.id.replace("chart-", ""), marks(chart).filter(seen).length]));
"""
CUT = """
return [...document.querySelectorAll(".chart svg")].flatMap((svg) => {
  const frame = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].filter((text) => {
    const box = text.getBoundingClientRect();
    const shown = text.textContent !== "" && getComputedStyle(text).opacity !== "0" && box.width > 0;
    const beside = box.left < frame.left - 1 || box.right > frame.right + 1;
    return shown && (beside || box.top < frame.top - 1 || box.bottom > frame.bottom + 1);
  }).map((text) => `${svg.parentElement.id}: ${text.textContent}`);
});
"""
COLORS = """
const card = getComputedStyle(document.querySelector(".card")).backgroundColor;
const style = (element) => getComputedStyle(document.querySelector(element));
const axis = style(".role-axis-label text").fill;
return [style("h2").color, style("figcaption").color, axis].map((color) => [color, card]);
"""


@pytest.fixture(scope="module")
def pages(home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages of a job with a long record, and of one without any; names in them try to become part of the page."""
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for name, chunks in (("record", 2000), ("none", 0)):
        job = hostile_job(open_storage(str(folder / name)), chunks)
        found[name] = folder / f"{name}.html"
        report(home, job.output.uri, found[name], "--price-per-node-hour", "1.5")
    return found


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for all tests here."""
    if (why := missing()) is not None:
        pytest.skip(why)
    with browser(tmp_path_factory.mktemp("chromium")) as found:
        yield found


def hostile_job(output: Storage, chunks: int) -> CommittedJob:
    """A complete job, with a record of so many chunks."""
    job = CommittedJob(output)
    model = {"name": HOSTILE, "version": 3, "inputs": {"text": HOSTILE}, "outputs": {"y": HOSTILE}}
    job.begin({"format": 3, "models": [model], "output": {"format": "parquet"}})
    if chunks:
        made = list(pages_of(chunks=chunks, seconds=2000.0))
        nodes = (*made[-1].run.nodes, HOSTILE)
        write_record(output, [*made, Page(Run("run-2", BEGAN_S + 1e6, nodes), BEGAN_S + 1e6, (), True, HOSTILE)])
    job.commit_all()
    return job


def report(home: Path, output: str, html: Path, *options: str) -> str:
    """The page that the command writes."""
    ended = run_rayton(home, "report", output, "--html", str(html), *options)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f"report  {html}\n"
    return html.read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_the_page_is_whole_in_a_browser(
    chromium: Browser, pages: dict[str, Path], size: tuple[int, int], scheme: Scheme
) -> None:
    chromium.open(pages["record"], *size, scheme)
    assert chromium.console() == []
    assert chromium.requests() == [pages["record"].as_uri()]
    drawn = chromium.ask(MARKS)
    assert drawn.keys() == CHARTS
    assert [name for name, marks in drawn.items() if marks < 2] == []
    assert sum(drawn.values()) > 500
    assert chromium.ask("return document.documentElement.scrollWidth") <= size[0]
    assert chromium.ask(WIDER) == []
    assert chromium.ask(CUT) == []
    assert [contrast(*pair) >= 4.5 for pair in chromium.ask(COLORS)] == [True, True, True]
    assert chromium.ask("return document.scripts.length") == 4


def test_the_page_turns_dark_while_it_is_shown(chromium: Browser, pages: dict[str, Path]) -> None:
    chromium.open(pages["record"], *DESKTOP, "light")
    light = chromium.ask(COLORS)
    chromium.prefers("dark")
    chromium.await_drawn("dark")
    dark = chromium.ask(COLORS)
    assert [before != after for before, after in zip(light, dark, strict=True)] == [True, True, True]
    assert chromium.ask("return document.querySelectorAll('.chart svg').length") == len(CHARTS)
    assert chromium.console() == []


def test_a_job_without_a_record_has_a_page_without_charts(chromium: Browser, pages: dict[str, Path]) -> None:
    chromium.open(pages["none"], *PHONE, "light")
    assert (chromium.console(), chromium.ask(MARKS), chromium.ask(WIDER)) == ([], {}, [])
    assert "There is no record of how this job has gone" in chromium.ask("return document.body.innerText")


def test_the_page_is_small(pages: dict[str, Path]) -> None:
    assert pages["record"].stat().st_size < MOST_BYTES / 2


def test_the_page_of_a_bucket_is_that_of_a_folder(home: Path, tmp_path: Path) -> None:
    with object_store("corpus") as address:
        hostile_job(open_storage("s3://corpus/scores", address), 20)
        html = report(home, "s3://corpus/scores", tmp_path / "page.html", "--endpoint-url", address)
        assert "testing" not in html  # the secret
    hostile_job(open_storage(str(tmp_path / "scores")), 20)
    other = page_of(read_job(str(tmp_path / "scores"), None))
    assert told(html) == told(other.replace(f"{tmp_path}/scores", "s3://corpus/scores"))


def test_the_page_goes_into_this_folder_if_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile_job(open_storage(str(tmp_path / "my scores")), 0)
    monkeypatch.chdir(tmp_path)
    app(["report", "my scores"], standalone_mode=False)
    assert capsys.readouterr().out == f"report  {tmp_path}/rayton-report-my-scores.html\n"
    assert (tmp_path / "rayton-report-my-scores.html").read_text().startswith("<!DOCTYPE html>")


def test_a_place_that_takes_no_page_is_named(home: Path, tmp_path: Path) -> None:
    hostile_job(open_storage(str(tmp_path / "scores")), 0)
    ended = run_rayton(home, "report", str(tmp_path / "scores"), "--html", str(tmp_path))
    assert ended.returncode == 1
    assert ended.stderr == f"error: {tmp_path} cannot be written (Is a directory); name another file with --html\n"


def told(html: str) -> str:
    """A page without the moment at which it was made."""
    return re.sub(r"told it on [^<]*", "", html)


def contrast(one: str, other: str) -> float:
    """How far two colours are apart, as the Web Content Accessibility Guidelines 2 count it."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: str) -> float:
    """That of a colour such as `rgb(12, 34, 56)`, from 0 to 1."""
    channels = [int(one) / 255 for one in re.findall(r"\d+", color)[:3]]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return sum(share * one for share, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
