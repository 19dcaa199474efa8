from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exporter.errors import SourceError
from exporter.proofs.given import MOST_ROWS, given_cases
from exporter.sources.base import Source
from exporter.sources.onnx_file import open_onnx
from tests.support.onnx_models import DOUBLES, MOVES, onnx_file


@pytest.fixture
def fixed(tmp_path: Path) -> Source:
    return open_onnx(onnx_file(tmp_path / "fixed.onnx", DOUBLES))


@pytest.fixture
def moving(tmp_path: Path) -> Source:
    return open_onnx(onnx_file(tmp_path / "moving.onnx", MOVES))


def parquet(path: Path, **columns: object) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


def test_rows_of_a_parquet_file_become_requests(fixed: Source, tmp_path: Path) -> None:
    rows = [[float(row), 1.0, 2.0] for row in range(70)]
    cases = given_cases(parquet(tmp_path / "some.parquet", x=rows, other=[1] * 70), fixed, 64)

    assert [(case.label, case.batch) for case in cases] == [
        ("some.parquet", 32),
        ("some.parquet", 32),
        ("some.parquet", 6),
    ]
    assert cases[2].inputs["x"].dtype == np.float32
    assert cases[2].inputs["x"][:, 0].tolist() == [64, 65, 66, 67, 68, 69]


def test_arrays_of_an_npz_file_do_too_and_no_request_is_larger_than_allowed(fixed: Source, tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", x=np.ones((10, 3)))
    cases = given_cases(str(tmp_path / "some.npz"), fixed, 4)
    assert [case.batch for case in cases] == [4, 4, 2]


def test_rows_of_one_length_are_asked_together(moving: Source, tmp_path: Path) -> None:
    rows = {"x": [[1.0], [1.0, 2.0], [3.0]], "mask": [[1], [1, 0], [0]]}
    cases = given_cases(parquet(tmp_path / "some.parquet", **rows), moving, 64)
    assert [case.inputs["x"].shape for case in cases] == [(2, 1), (1, 2)]
    assert cases[0].inputs["mask"].tolist() == [[1], [0]]


def test_only_the_first_rows_are_taken(fixed: Source, tmp_path: Path) -> None:
    rows = [[0.0, 0.0, float(row)] for row in range(MOST_ROWS + 100)]
    cases = given_cases(parquet(tmp_path / "some.parquet", x=rows), fixed, 64)
    assert sum(case.batch for case in cases) == MOST_ROWS
    assert cases[-1].inputs["x"][-1, 2] == MOST_ROWS - 1


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"y": [[1.0, 2.0, 3.0]]}, "has no column 'x'; it has y"),
        ({"x": [[1.0, 2.0]]}, r"column 'x' has a row of shape \[2\], which is no x FP32\[3\]"),
        ({"x": [["a", "b", "c"]]}, r"column 'x' does not hold rows of x FP32\[3\]"),
        ({"x": pa.array([], pa.list_(pa.float32()))}, "holds no row"),
    ],
)
def test_a_file_that_does_not_fit_the_model_is_refused(
    columns: dict[str, object], message: str, fixed: Source, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=message):
        given_cases(parquet(tmp_path / "some.parquet", **columns), fixed, 64)


@pytest.mark.parametrize("name", ["no.parquet", "no.npz", "broken.parquet", "broken.npz"])
def test_a_file_that_cannot_be_read_is_refused(name: str, fixed: Source, tmp_path: Path) -> None:
    if name.startswith("broken"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(SourceError, match=r"--samples .* cannot be read as Parquet or \.npz"):
        given_cases(str(tmp_path / name), fixed, 64)


def test_a_pickle_in_an_npz_file_is_not_opened(fixed: Source, tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", x=np.array([object()], object), allow_pickle=True)
    with pytest.raises(SourceError, match="cannot be read"):
        given_cases(str(tmp_path / "some.npz"), fixed, 64)


def test_arrays_of_different_lengths_are_refused(fixed: Source, tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", x=np.ones((10, 3)), y=np.ones((9, 3)))
    with pytest.raises(SourceError, match="differ in their number of rows: x 10, y 9"):
        given_cases(str(tmp_path / "some.npz"), fixed, 64)
