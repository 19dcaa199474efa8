from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ray_pipeline.errors import InputError
from ray_pipeline.sources.numpy import Numpy
from tests.support.sources import own_columns, read_whole, survey_of
from triton_models.storage import Storage, open_storage

Array = np.ndarray[Any, Any]
DTYPES = ["?", "i1", "<i2", ">i4", "<i8", ">u8", "<f2", ">f2", "<f4", ">f4", "<f8"]


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    return open_storage(str(tmp_path_factory.mktemp("numpy")))


def npy(array: Array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**columns: Array) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **columns)  # type: ignore[arg-type]
    return file.getvalue()


def read(storage: Storage, path: str, content: bytes, rows_per_chunk: int = 3) -> pa.Table:
    storage.write(path, content)
    return own_columns(read_whole(Numpy(), storage, path, rows_per_chunk))


@pytest.mark.parametrize("dtype", DTYPES)
@given(st.data())
def test_rows_are_those_of_the_array(storage: Storage, dtype: str, data: st.DataObject) -> None:
    shape = data.draw(arrays.array_shapes(max_dims=3, max_side=5))
    array = data.draw(arrays.arrays(np.dtype(dtype), shape))
    column = read(storage, "a.npy", npy(array), data.draw(st.integers(1, 6)))["array"].combine_chunks()
    flat = column if len(shape) == 1 else column.flatten()
    assert flat.type == pa.from_numpy_dtype(np.dtype(dtype).newbyteorder("="))
    assert len(column) == shape[0]
    np.testing.assert_array_equal(flat.to_numpy(zero_copy_only=False), array.reshape(-1))


def test_arrays_side_by_side_are_columns(storage: Storage) -> None:
    x, ids = np.arange(20, dtype=np.float32).reshape(5, 2, 2), np.arange(5, dtype=">i8")
    table = read(storage, "a.npz", npz(x=x, id=ids), 2)
    assert table.column_names == ["x", "id"]
    assert table["id"].to_pylist() == [0, 1, 2, 3, 4]
    assert table["x"].to_pylist() == x.reshape(5, 4).tolist()


def test_columns_of_one_number_may_be_in_fortran_order(storage: Storage) -> None:
    assert read(storage, "a.npy", npy(np.asfortranarray(np.arange(4))))["array"].to_pylist() == [0, 1, 2, 3]


def test_old_and_new_headers_are_read(storage: Storage) -> None:
    for version in ((1, 0), (2, 0), (3, 0)):
        file = io.BytesIO()
        np.lib.format.write_array(file, np.arange(4), version=version)
        assert read(storage, "a.npy", file.getvalue())["array"].to_pylist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.asfortranarray(np.zeros((2, 3))), r"float64 \[2, 3\] in Fortran order; rows of numbers in C order"),
        (np.array(["a", None], object), r"object \[2\]; rows of numbers in C order are wanted"),
        (np.array(["text"]), "rows of numbers in C order are wanted"),
        (np.array([1j]), r"complex128 \[1\]; rows of numbers"),
        (np.zeros(2, [("a", "i4")]), "rows of numbers in C order are wanted"),
        (np.array(7), r"int64 \[\]; rows of numbers in C order are wanted"),
        (np.zeros(2, np.longdouble), r"\[2\]; rows of numbers in C order are wanted"),
        (np.zeros((3, 0)), r"float64 \[3, 0\]; rows of numbers in C order are wanted"),
    ],
)
def test_an_array_that_holds_no_rows_of_numbers_is_refused_by_its_name(
    storage: Storage, array: Array, told: str
) -> None:
    storage.write("a.npy", npy(array))
    with pytest.raises(InputError, match=rf"a\.npy: array 'array' is .*{told}"):
        survey_of(Numpy(), storage, "a.npy")
    if array.dtype != np.object_:
        storage.write("a.npz", npz(good=np.arange(3), bad=array))
        with pytest.raises(InputError, match=rf"a\.npz: array 'bad' is .*{told}"):
            survey_of(Numpy(), storage, "a.npz")


def test_arrays_of_different_lengths_are_refused(storage: Storage) -> None:
    storage.write("a.npz", npz(x=np.zeros(3), y=np.zeros(4)))
    with pytest.raises(InputError, match=r"a\.npz: its arrays differ in their number of rows: x 3, y 4"):
        survey_of(Numpy(), storage, "a.npz")


def test_an_array_that_is_cut_is_an_error_and_never_fewer_rows(storage: Storage) -> None:
    whole = npy(np.arange(6))
    for size in range(0, len(whole), 5):
        with pytest.raises(InputError, match=r"a\.npy.*(cannot be read as NumPy|ends within)"):
            read(storage, "a.npy", whole[:size], 100)


@pytest.mark.parametrize("content", [b"", b"no numpy", b"PK\x03\x04 broken"])
@pytest.mark.parametrize("path", ["a.npy", "a.npz"])
def test_what_is_not_numpy_is_named(storage: Storage, path: str, content: bytes) -> None:
    storage.write(path, content)
    with pytest.raises(InputError, match=rf"{path} cannot be read as NumPy"):
        survey_of(Numpy(), storage, path)
