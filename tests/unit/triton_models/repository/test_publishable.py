"""Whether a version may be published under a name."""

from __future__ import annotations

from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tests.support.repositories import config, publish_bytes
from triton_models.errors import RepositoryError
from triton_models.repository import publishable
from triton_models.repository.versions import read_config
from triton_models.storage import Storage, open_storage


def test_a_folder_without_a_config_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "m" / "notes").mkdir(parents=True)
    with pytest.raises(RepositoryError, match=r"m is there without a config\.pbtxt"):
        publishable.check_publishable(open_storage(str(tmp_path)), config("m"))


def test_a_model_that_another_export_puts_there_meanwhile_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, answers = open_storage(str(tmp_path)), iter([None])

    def read(where: Storage, name: str) -> ModelConfig | None:
        for nothing in answers:
            publish_bytes(repository, "m")
            return nothing
        return read_config(where, name)

    monkeypatch.setattr(publishable, "read_config", read)
    publishable.check_publishable(repository, config("m"))
