from __future__ import annotations

import gzip

import pyarrow as pa
import pytest

from ray_pipeline.errors import InputError
from ray_pipeline.sources.opened import opened, plain_name, with_compressed
from triton_models.storage import Storage, open_storage

CONTENT = bytes(range(256)) * 40_000  # 10 MB, more than what is read at once


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    storage = open_storage(str(tmp_path_factory.mktemp("opened")))
    storage.write("a.txt", CONTENT)
    storage.write("a.txt.gz", gzip.compress(CONTENT))
    storage.write("A.TXT.ZST", pa.compress(CONTENT, "zstd", asbytes=True))
    return storage


@pytest.mark.parametrize("path", ["a.txt", "a.txt.gz", "A.TXT.ZST"])
@pytest.mark.parametrize("first_byte", [0, 1, 4_194_304, 9_999_999, len(CONTENT), len(CONTENT) + 5])
def test_an_object_is_read_from_any_position_of_its_content(storage: Storage, path: str, first_byte: int) -> None:
    with opened(storage, path, first_byte) as file:
        assert file.read() == CONTENT[first_byte:]


def test_what_is_not_there_or_not_compressed_is_named(storage: Storage) -> None:
    with pytest.raises(InputError, match=r"gone\.txt cannot be read"), opened(storage, "gone.txt"):
        pass
    storage.write("no.gz", b"no gzip at all")
    with pytest.raises(InputError, match=r"no\.gz cannot be read"), opened(storage, "no.gz") as file:
        file.read()


def test_an_error_while_skipping_is_named_too(storage: Storage) -> None:
    storage.write("cut.gz", gzip.compress(CONTENT)[:-4])
    with pytest.raises(InputError, match=r"cut\.gz cannot be read"), opened(storage, "cut.gz", len(CONTENT) + 1):
        pass


def test_names_without_their_compression() -> None:
    plain = [plain_name(path) for path in ("f.gz/a.jsonl.gz", "a.TSV.ZST", "a.csv", "gz", "day=1.5/a.tsv.gz")]
    assert plain == ["f.gz/a.jsonl", "a.tsv", "a.csv", "gz", "day=1.5/a.tsv"]
    assert with_compressed(".csv") == (".csv", ".csv.gz", ".csv.zst")
