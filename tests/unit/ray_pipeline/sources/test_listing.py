from __future__ import annotations

from pathlib import Path

import pytest

from ray_pipeline.errors import InputError
from ray_pipeline.sources.csv import Csv
from ray_pipeline.sources.images import Images
from ray_pipeline.sources.json_lines import JsonLines
from ray_pipeline.sources.listing import format_of, list_input, only_format
from ray_pipeline.sources.numpy import Numpy
from ray_pipeline.sources.parquet import Parquet
from ray_pipeline.sources.tar import Tar
from triton_models.disk import write_file
from triton_models.storage import open_storage

FILES = ("a.parquet", "b.parquet", "b.jsonl", "deep/c.parquet", "deep/er/d.parquet", "_old/x.parquet", ".y.parquet")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path in FILES:
        write_file(tmp_path / path, b"1")
    return tmp_path


def listed(uri: object) -> list[str]:
    storage, objects = list_input(str(uri), None)
    assert all(storage.read(one.path) == b"1" for one in objects)
    return [one.path for one in objects]


def test_a_folder_is_everything_below_it_that_is_not_hidden(folder: Path) -> None:
    everything = ["a.parquet", "b.jsonl", "b.parquet", "deep/c.parquet", "deep/er/d.parquet"]
    assert listed(folder) == listed(f"{folder}/") == listed(f"file://{folder}") == everything


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.parquet", ["a.parquet", "b.parquet"]),
        ("?.jsonl", ["b.jsonl"]),
        ("[ab].parquet", ["a.parquet", "b.parquet"]),
        ("*/*.parquet", ["deep/c.parquet"]),
        ("deep/*.parquet", ["c.parquet"]),
        ("**/*.parquet", ["a.parquet", "b.parquet", "deep/c.parquet", "deep/er/d.parquet"]),
        ("**/er/*", ["deep/er/d.parquet"]),
        ("deep/**", ["c.parquet", "er/d.parquet"]),
    ],
)
def test_a_star_stays_in_one_folder_and_two_cross_folders(folder: Path, pattern: str, found: list[str]) -> None:
    assert listed(f"{folder}/{pattern}") == found


def test_a_file_is_itself_even_if_it_is_hidden(folder: Path) -> None:
    assert listed(folder / "deep" / "c.parquet") == ["c.parquet"]
    assert listed(folder / ".y.parquet") == [".y.parquet"]


def test_a_file_whose_name_looks_like_a_pattern_is_itself(folder: Path) -> None:
    write_file(folder / "part[1].parquet", b"1")
    assert listed(folder / "part[1].parquet") == ["part[1].parquet"]


@pytest.mark.usefixtures("folder")
def test_relative_paths_begin_where_the_job_is_started(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert listed("a.parquet") == ["a.parquet"]
    assert listed("deep/c.parquet") == ["c.parquet"]
    assert listed("*.jsonl") == ["b.jsonl"]


@pytest.mark.parametrize("pattern", ["empty", "*.csv", "missing/folder", "_old/../none"])
def test_nothing_to_score_is_an_error_that_repeats_the_address(folder: Path, pattern: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=r"there is no object to score; is the path right\?") as refusal:
        list_input(f"{folder}/{pattern}", None)
    assert f"{folder}/{pattern}" in str(refusal.value)


def test_the_format_is_told_by_the_end_of_the_name() -> None:
    found = [type(format_of(path)) for path in ("a/b.parquet", "x.jsonl", "x.jsonl.gz", "y.CSV.zst", "z.tsv", "i.JPeG")]
    assert found == [Parquet, JsonLines, JsonLines, Csv, Csv, Images]
    assert [type(format_of(path)) for path in ("a.tar", "a.npy", "a.npz")] == [Tar, Numpy, Numpy]


def test_an_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(
        InputError, match=r"a/b\.xlsx: not a known input format; known are \.parquet \.jsonl \.jsonl\.gz"
    ):
        format_of("a/b.xlsx")


def test_mixed_formats_are_refused_with_an_example_of_each(folder: Path) -> None:
    objects = open_storage(str(folder)).objects()
    with pytest.raises(InputError, match=r"mixes formats \(.*\.jsonl.*\); choose one with a glob"):
        only_format(objects)
    assert isinstance(only_format([objects[0]]), Parquet)
