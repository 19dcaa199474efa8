"""What `rayton serve` makes of its options for security."""

from __future__ import annotations

from pathlib import Path

import pytest

from triton_models import cli
from triton_models.server.credentials import NONE, Credentials, of_word, to_word
from triton_models.server.errors import CredentialsError


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "::1"])
def test_on_this_machine_there_is_a_key_only_where_one_is_given(tmp_path: Path, address: str) -> None:
    assert cli._control_key_file(None, address, tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    given = tmp_path / "given"
    given.write_text("made-up-key-of-a-test")
    assert cli._control_key_file(given, address, tmp_path) == given


@pytest.mark.parametrize("address", ["0.0.0.0", "10.0.0.7", "::", "node7"])
def test_elsewhere_there_is_always_one(tmp_path: Path, address: str) -> None:
    assert cli._control_key_file(None, address, tmp_path) == tmp_path / "servers" / "control.key"
    with pytest.raises(CredentialsError, match="cannot be read"):
        cli._control_key_file(tmp_path / "nowhere", address, tmp_path)


@pytest.mark.parametrize("given", [(Path("c"), None, None), (None, Path("k"), None), (None, None, Path("a"))])
def test_half_of_tls_is_none(given: tuple[Path | None, Path | None, Path | None]) -> None:
    with pytest.raises(CredentialsError, match="needs both --tls-cert and --tls-key"):
        cli._tls(*given, None, None)
    assert cli._tls(None, None, None, None, None) is None


@pytest.mark.parametrize(
    "credentials",
    [NONE, Credentials(Path("/a b"), Path("/c"), Path("/k"), "triton.example", Path("/key")), Credentials(Path("/a"))],
    ids=repr,
)
def test_credentials_travel_as_one_word(credentials: Credentials) -> None:
    assert of_word(to_word(credentials)) == credentials
