from __future__ import annotations

from rich.console import Console

from triton_models.doctor.cli import report
from triton_models.doctor.examine import Examination
from triton_models.doctor.verdict import Diagnosis, seen


def test_the_report_has_a_line_of_figures_and_a_verdict_for_each_model() -> None:
    good = Diagnosis("good", "3", 2, seen([0.01] * 100, []), (), ("in a shared lane, have [2] instances",))
    bad = Diagnosis("bad", "1", 1, seen([], ["torn"]), ("1 of 1 requests failed (torn)",), ())
    console = Console(width=120)
    with console.capture() as captured:
        console.print(report(Examination(("its Triton is old",), (good, bad))), soft_wrap=True)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    assert lines[0].split("  ")[0] == "model"
    assert [line.split() for line in lines[1:3]] == [
        ["good", "3", "2", "100", "10.0", "10.0", "10.0", "10.0", "0", "0"],
        ["bad", "1", "1", "1", "-", "-", "-", "-", "0", "1"],
    ]
    assert lines[3:] == [
        "",
        "good: safe to share",
        "  in a shared lane, have [2] instances",
        "",
        "bad: not safe to share",
        "  1 of 1 requests failed (torn)",
        "",
        "the server",
        "  its Triton is old",
    ]
