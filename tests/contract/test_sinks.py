"""What every output format must do with the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ray_pipeline.chunk import ERROR, REASON, STAGE
from ray_pipeline.errors import OutputError
from ray_pipeline.output.lock import holder, locked
from ray_pipeline.progress import verify
from ray_pipeline.sections import OutputSpec
from ray_pipeline.sinks.base import Sink
from ray_pipeline.sinks.formats import SINKS
from ray_pipeline.sinks.part import data_path, only_rejected, read_result, rejected_path, write_part
from tests.support.chunks import chunk_of_rows, read_table
from tests.support.committed import CommittedJob
from tests.support.s3 import object_store
from triton_models.storage import Storage, open_storage

ROWS = 200
VECTORS = np.linspace(-1, 1, ROWS * 8, dtype=np.float32).reshape(ROWS, 8)
COLUMNS: dict[str, Any] = {
    "id": list(range(ROWS)),
    "text": [f'text "{row}"\nü' if row % 5 else None for row in range(ROWS)],
    "embedding": pa.FixedSizeListArray.from_arrays(pa.array(VECTORS.reshape(-1)), 8),
    "score": pa.array(VECTORS[:, 0]),
    "tags": [["a", "b"][: row % 3] for row in range(ROWS)],
    "nothing": pa.nulls(ROWS),
}
TABLE = pa.table(COLUMNS)
CHUNK = chunk_of_rows(ROWS)


@pytest.fixture(params=SINKS)
def sink(request: pytest.FixtureRequest) -> Sink:
    return SINKS[request.param]


@pytest.fixture(scope="module")
def endpoint_url() -> Iterator[str]:
    with object_store("parts") as endpoint_url:
        yield endpoint_url


@pytest.fixture(params=["disk", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "disk":
        return open_storage(str(tmp_path))
    return open_storage(f"s3://parts/{tmp_path.name}", request.getfixturevalue("endpoint_url"))


def test_every_format_of_a_job_file_has_its_sink() -> None:
    for format in SINKS:
        assert OutputSpec.model_validate({"uri": "out", "format": format}).format == format
    assert OutputSpec(uri="out").format in SINKS
    assert len({sink.suffix for sink in SINKS.values()}) == len(SINKS)


def test_rows_come_back_in_their_order(sink: Sink) -> None:
    found = sink.decoded(sink.encoded(TABLE).to_pybytes())
    assert found.column_names == TABLE.column_names
    assert (
        found.drop_columns(["embedding", "score"]).to_pylist() == TABLE.drop_columns(["embedding", "score"]).to_pylist()
    )
    assert np.array(found["embedding"].to_pylist(), np.float32).tolist() == VECTORS.tolist()
    assert np.array(found["score"].to_pylist(), np.float32).tolist() == VECTORS[:, 0].tolist()


def test_the_same_rows_are_the_same_bytes_whatever_pieces_they_came_in(sink: Sink) -> None:
    pieces = pa.concat_tables([TABLE.slice(0, 7), TABLE.slice(7, 100), TABLE.slice(107)])
    assert sink.encoded(pieces).equals(sink.encoded(TABLE))


@pytest.mark.parametrize("later", [[], [0], list(range(0, ROWS, 3)), list(range(ROWS))])
def test_rows_are_put_in_between_those_of_a_part_as_if_they_had_been_there(sink: Sink, later: list[int]) -> None:
    before = [row for row in range(ROWS) if row not in later]
    content = sink.encoded(TABLE.take(pa.array(before, pa.int64()))).to_pybytes()
    order = np.argsort(np.array(before + later)).tolist()
    assert sink.merged(content, TABLE.take(pa.array(later, pa.int64())), order).equals(sink.encoded(TABLE))


def test_no_rows_are_put_into_a_part_that_is_not_whole(sink: Sink) -> None:
    content = sink.encoded(TABLE).to_pybytes()[:-9]
    with pytest.raises(OutputError, match="not "):
        sink.merged(content, TABLE.slice(0, 1), range(ROWS + 1))


@pytest.mark.parametrize("rows", [0, 1, ROWS])
def test_rows_are_counted(sink: Sink, rows: int) -> None:
    assert sink.count(sink.encoded(TABLE.slice(0, rows)).to_pybytes()) == rows


def test_a_part_that_is_cut_anywhere_is_an_error_and_never_fewer_rows(sink: Sink) -> None:
    content = sink.encoded(TABLE).to_pybytes()
    ends_of_lines = {place + 1 for place, byte in enumerate(content) if byte == ord("\n")} | {0}
    for size in range(0, len(content), max(1, len(content) // 400)):
        if sink.suffix == ".jsonl" and size in ends_of_lines:
            continue  # such a part has lost whole lines, which only its chunk and its size can tell
        with pytest.raises(OutputError, match=r"not (a )?whole"):
            sink.count(content[:size])
        with pytest.raises(OutputError, match=r"not (a )?whole"):
            sink.decoded(content[:size])


def test_good_rows_go_to_the_part_and_rejected_ones_to_theirs(sink: Sink, output: Storage) -> None:
    reasons = ["bad" if row in (3, 199) else None for row in range(ROWS)]
    result = write_part(output, sink, read_table(COLUMNS, reasons=reasons))
    assert (result.chunk, result.scored, result.rejected) == (CHUNK.id, ROWS - 2, 2)
    content = output.read(data_path(CHUNK, sink))
    assert len(content) == result.bytes
    found = sink.decoded(content)
    assert found["id"].to_pylist() == [row for row in range(ROWS) if reasons[row] is None]
    assert {ERROR, REASON, STAGE}.isdisjoint(found.column_names)
    assert rejected_path(CHUNK) == f"rejected/{CHUNK.part}.parquet"
    assert SINKS["parquet"].decoded(output.read(rejected_path(CHUNK))).to_pylist() == [
        {"object": "a.parquet", "row": row, "stage": "read", "error": "NotJson", "reason": "bad"} for row in (3, 199)
    ]
    assert read_result(output, sink, CHUNK) == result


def test_a_chunk_of_rejected_rows_alone_is_committed(sink: Sink, output: Storage) -> None:
    result = write_part(output, sink, read_table(COLUMNS, reasons=["bad"] * ROWS))
    assert (result.scored, result.rejected) == (0, ROWS)
    assert read_result(output, sink, CHUNK) == result


def test_rejected_rows_that_are_scored_again_come_to_their_places(sink: Sink, output: Storage) -> None:
    write_part(output, sink, read_table(COLUMNS, reasons=["bad" if row % 7 == 0 else None for row in range(ROWS)]))
    again = only_rejected(output, sink, CHUNK, read_table(COLUMNS))
    assert again["id"].to_pylist() == list(range(0, ROWS, 7))
    result = write_part(output, sink, again)
    assert (result.scored, result.rejected) == (ROWS, 0)
    assert output.read(data_path(CHUNK, sink)) == sink.encoded(TABLE).to_pybytes()
    assert output.stat(rejected_path(CHUNK)) is None
    assert read_result(output, sink, CHUNK) == result


def test_a_part_that_lost_rows_is_refused(sink: Sink, output: Storage) -> None:
    write_part(output, sink, read_table(COLUMNS))
    output.write(data_path(CHUNK, sink), sink.encoded(TABLE.slice(0, ROWS - 1)))
    with pytest.raises(
        OutputError, match=rf"{ROWS - 1} scored \+ 0 rejected rows are not the {ROWS} rows of a\.parquet"
    ):
        read_result(output, sink, CHUNK)


def test_a_part_that_is_not_whole_is_refused_with_its_name(sink: Sink, output: Storage) -> None:
    result = write_part(output, sink, read_table(COLUMNS))
    path = data_path(CHUNK, sink)
    output.write(path, output.read(path)[: result.bytes - 3])
    with pytest.raises(OutputError, match=rf"{path} is not (a )?whole .*; delete it and run again"):
        read_result(output, sink, CHUNK)


@pytest.mark.parametrize("format", SINKS)
def test_the_folder_of_a_whole_job_is_locked_counted_and_verified(output: Storage, format: str) -> None:
    job = CommittedJob(output, format)
    with locked(output):
        with pytest.raises(OutputError, match="another run of this job works on it"), locked(output):
            pass
        job.complete()
    assert holder(output) is None
    assert list(verify(output.uri, output.endpoint_url)) == [(4, None), (4, None), (2, None)]
