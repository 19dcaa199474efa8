from __future__ import annotations

from pathlib import Path

import pytest

from triton_models.errors import StorageError
from triton_models.object_store import s3_settings

KEYS = "[default]\naws_access_key_id = one\naws_secret_access_key = s3cr3t\n[other]\naws_access_key_id = two\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "credentials"
    file.write_text(KEYS)
    return file


def test_keys_of_the_environment_go_before_those_of_a_profile(file: Path) -> None:
    environment = {"AWS_ACCESS_KEY_ID": "a", "AWS_SHARED_CREDENTIALS_FILE": str(file)}
    assert s3_settings(environment, None) == {}


def test_the_profile_in_use_gives_the_keys(file: Path) -> None:
    environment = {"AWS_SHARED_CREDENTIALS_FILE": str(file)}
    assert s3_settings(environment, None) == {"access_key_id": "one", "secret_access_key": "s3cr3t"}
    assert s3_settings(environment | {"AWS_PROFILE": "other"}, None)["access_key_id"] == "two"


def test_an_address_that_is_given_goes_before_those_of_the_environment(file: Path) -> None:
    environment = {"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_S3": "http://b", "AWS_ACCESS_KEY_ID": "a"}
    assert s3_settings(environment, "http://c") == {"aws_endpoint_url_s3": "http://c"}
    assert s3_settings(environment, None) == {"aws_endpoint_url_s3": "http://b"}


@pytest.mark.parametrize(
    ("environment", "endpoint", "unsigned"),
    [
        ({}, "http://127.0.0.1:9000", True),
        ({}, "https://bucket.vpce-1.s3.eu-west-1.vpce.amazonaws.com", False),
        ({}, None, False),
        ({"AWS_EC2_METADATA_DISABLED": "true"}, None, True),
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}, "http://127.0.0.1:9000", False),
    ],
)
def test_where_no_key_can_be_found_requests_are_not_signed(
    environment: dict[str, str], endpoint: str | None, unsigned: bool, tmp_path: Path
) -> None:
    environment = environment | {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none")}
    assert s3_settings(environment, endpoint).get("skip_signature", False) == unsigned


def test_a_broken_file_of_credentials_is_named_without_its_content(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text("s3cr3t")
    with pytest.raises(StorageError, match="credentials cannot be read") as refusal:
        s3_settings({"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}, None)
    assert "s3cr3t" not in str(refusal.value)
    assert refusal.value.__suppress_context__
