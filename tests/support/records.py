"""The record of a whole job in the shared lane, made by hand: as many chunks, seconds and runs as are wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ray_pipeline.summary.recorded import Recorded
from ray_pipeline.telemetry.course import Committed
from ray_pipeline.telemetry.record import FOLDER, Page
from tests.support.pages import BEGAN_S, NODE, batches, committed, heard, page, run
from triton_models.storage import Storage
from triton_models.typed_json import dumps

NODES = (NODE, "10.0.0.2")


def record_of(*, chunks: int, seconds: float, runs: int = 2) -> Recorded:
    """A job on two nodes that was killed and resumed a day later, `runs` times in all."""
    return Recorded(pages_of(chunks=chunks, seconds=seconds, runs=runs))


def write_record(output: Storage, pages: Iterable[Page]) -> None:
    """Leaves pages in an output folder, as runs do."""
    for number, written in enumerate(pages):
        output.write(f"{FOLDER}/{written.run.id}-{number:06}.json", dumps(written).encode())


def pages_of(*, chunks: int, seconds: float, runs: int = 2) -> Iterator[Page]:
    """Its pages."""
    each, took_s = chunks // runs, seconds / runs
    for number in range(runs):
        this = run(number, BEGAN_S + number * 86_400, NODES)
        yield page(this, 0)
        places = range(number * each, chunks if number == runs - 1 else (number + 1) * each)
        step_s = took_s / len(places)
        scored = [
            _chunk(f"chunk-{place}", place, this.began_s + step_s * nth, step_s) for nth, place in enumerate(places)
        ]
        yield page(this, took_s, *scored, over=number == runs - 1)


def _chunk(chunk: str, place: int, at_s: float, took_s: float) -> Committed:
    sent = batches(
        seconds={0.007: 3, 0.01: 5 + place % 4, 0.02: 2, 0.1: place % 2}, rows={32: 9, 64: 2 + place % 4}, permit_s=0.2
    )
    users = place % 8 < 4
    told = heard(
        sent,
        limits=[(at_s, 1 if users else 16, 0.01 + 0.001 * (place % 5) if users else None)],
        canaries=[(at_s, 0.002 + 0.0001 * (place % 7), not users), (at_s + took_s / 2, 0.003, False)],
    )
    rejections = {"prepare: WrongTensor": 1} if place % 10 == 0 else {}
    return committed(
        chunk,
        scored=1000 - len(rejections),
        rejections=rejections,
        node=NODES[place % 2],
        at_s=at_s,
        took_s=took_s,
        batches=told,
    )
