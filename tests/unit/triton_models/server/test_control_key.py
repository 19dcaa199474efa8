"""The key for control calls: where it is kept, and what is a key at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from triton_models.server.control_key import made_control_key, open_to_others, read_control_key
from triton_models.server.errors import CredentialsError

MADE_UP = "made-up-key-of-a-test"


def test_a_key_is_made_once_for_this_user_alone(tmp_path: Path) -> None:
    path = made_control_key(tmp_path / "home" / "control.key")
    first = read_control_key(path)
    assert len(first) == 43
    assert path.stat().st_mode & 0o777 == 0o600
    assert open_to_others(path) == []
    assert read_control_key(made_control_key(path)) == first
    assert read_control_key(made_control_key(tmp_path / "other")) != first
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["control.key"]


def test_a_key_that_others_may_read_is_worth_a_word(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(MADE_UP)
    path.chmod(0o644)
    (said,) = open_to_others(path, None)
    assert said == f"other users of this machine may read {path}, which is a secret; `chmod 600 {path}` keeps them out"
    assert read_control_key(path) == MADE_UP


def test_a_key_that_this_user_has_by_its_group_is_as_closed_as_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    path.write_text(MADE_UP)
    path.chmod(0o440)
    assert open_to_others(path)
    another = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: another)
    assert open_to_others(path) == []
    path.chmod(0o444)
    assert open_to_others(path)


@pytest.mark.parametrize("content", ["", "short", "two words are no key of a test", f"{MADE_UP}=", "two\nlines" * 9])
def test_what_is_no_key_is_refused_and_not_repeated(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    with pytest.raises(CredentialsError) as refused:
        read_control_key(path)
    assert f"{path} does not hold a control key" in str(refused.value)
    assert not content or content not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match=r"nowhere cannot be read: No such file"):
        read_control_key(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(CredentialsError, match=r"no control key can be kept in .*file/control.key: "):
        made_control_key(tmp_path / "file" / "control.key")
