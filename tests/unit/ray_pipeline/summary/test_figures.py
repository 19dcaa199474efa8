from __future__ import annotations

import pytest

from ray_pipeline.summary.figures import figures_of
from ray_pipeline.summary.recorded import Recorded
from tests.support.pages import BEGAN_S, NODE, batches, committed, page, run

OTHER = "10.0.0.2"


def test_an_empty_record_has_no_figures() -> None:
    figures = figures_of(Recorded())
    assert (figures.rows, figures.took_s, figures.rows_per_s, figures.rows_per_s_scoring) == (0, 0.0, None, None)
    assert (figures.rates, figures.stages, figures.nodes, figures.batches.quantiles_s) == ([], [], [], [])
    assert figures.cost(2.0).whole == 0.0
    assert figures.cost(2.0).million_rows is None


def test_a_run_that_has_only_begun_has_none_either() -> None:
    figures = figures_of(Recorded([page(run(), 0)]))
    assert (len(figures.runs), figures.rates, figures.rows_per_s) == (1, [], None)
    assert [(one.node, one.rows, one.share) for one in figures.nodes] == [(NODE, 0, 0.0)]


def test_rows_a_second_with_start_up_and_while_it_scored() -> None:
    chunks = [committed(str(second), scored=30, at_s=BEGAN_S + second, took_s=1.0) for second in (6, 7, 8)]
    figures = figures_of(Recorded([page(run(), 9, *chunks, over=True)]))
    assert figures.rows_per_s == 10.0
    assert figures.rows_per_s_scoring == pytest.approx(30.0)
    assert sum((one.to_s - one.from_s) * one.rows_per_s for one in figures.rates) == pytest.approx(90.0)
    assert max(one.rows_per_s for one in figures.rates if one.to_s <= 6.0) == pytest.approx(0.0)


def test_a_job_that_was_resumed_has_no_gap() -> None:
    first, second = run(0), run(1, BEGAN_S + 7 * 86_400)
    pages = [
        page(first, 10, committed("a", at_s=BEGAN_S, took_s=10.0)),
        page(second, 10, committed("b", at_s=second.began_s, took_s=10.0), over=True),
    ]
    figures = figures_of(Recorded(pages))
    assert (figures.took_s, figures.starts_s, figures.rows) == (20.0, [0.0, 10.0], 20)
    assert [one.rows_per_s for one in figures.rates] == pytest.approx([1.0] * len(figures.rates))


def test_where_the_time_went() -> None:
    one = committed("a", took_s=3.0, batches=batches(permit_s=1.0))
    figures = figures_of(Recorded([page(run(), 5, one, one)]))
    assert {stage.stage: stage.took_s for stage in figures.stages} == pytest.approx(
        {"read": 0.2, "prepare": 0.8, "permit": 2.0, "infer": 4.0, "write": 0.4}
    )
    assert sum(stage.share for stage in figures.stages) == pytest.approx(1.0)


def test_batches_of_all_chunks_and_their_quantiles() -> None:
    fast, slow = batches(seconds={0.01: 98}, rows={64: 98}), batches(seconds={0.1: 2}, rows={8: 2})
    figures = figures_of(Recorded([page(run(), 5, committed("a", batches=fast), committed("b", batches=slow))]))
    assert (figures.batches.count, figures.batches.bytes, sum(figures.batches.rows)) == (100, 10_000, 100)
    # Evenly between 7 and 10 ms; the second of the two between 70 and 100 ms is at its half.
    assert figures.batches.quantiles_s == pytest.approx([0.007 + 0.003 * 50 / 98, 0.007 + 0.003 * 95 / 98, 0.085])


def test_nodes_by_their_rows_with_the_time_of_their_runs() -> None:
    first, second = run(0, nodes=(NODE, OTHER)), run(1, BEGAN_S + 1000, nodes=(OTHER, "10.0.0.3"))
    pages = [
        page(first, 10, committed("a", scored=10), committed("b", scored=20, node=OTHER, took_s=2.0)),
        page(
            second, 20, committed("c", scored=30, node=OTHER, at_s=second.began_s, batches=batches(seconds={0.01: 1}))
        ),
    ]
    figures = figures_of(Recorded(pages))
    most, less, none = figures.nodes
    assert (most.node, most.rows, most.parts, most.took_s, most.busy_s) == (OTHER, 50, 2, 30.0, 3.0)
    assert [most.share, most.rows_per_s] == pytest.approx([50 / 60, 50 / 30])
    assert most.p50_s == pytest.approx(0.0085)
    assert (less.node, less.rows, less.took_s, less.p50_s) == (NODE, 10, 10.0, None)
    assert (none.node, none.rows, none.rows_per_s) == ("10.0.0.3", 0, 0.0)


def test_a_node_that_came_later_has_the_time_of_the_runs_that_it_scored_in() -> None:
    figures = figures_of(Recorded([page(run(), 10, committed("a", node=OTHER))]))
    assert figures.nodes[0].took_s == 10.0


def test_the_cost_is_that_of_all_nodes_of_all_runs() -> None:
    first, second = run(0, nodes=(NODE, OTHER)), run(1, BEGAN_S + 5000)
    pages = [page(first, 1800, committed("a", scored=900)), page(second, 3600, committed("b", scored=100), over=True)]
    cost = figures_of(Recorded(pages)).cost(1.5)
    assert (cost.node_hours, cost.whole, cost.million_rows) == (2.0, 3.0, 3000.0)
