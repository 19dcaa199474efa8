"""What is asked of a server, and the command line that says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from triton_models.server.binary import Binary, external_binary
from triton_models.server.certificates import ServerTls
from triton_models.server.errors import StartError, UnsafeAddressError
from triton_models.server.masking import SECRET
from triton_models.server.options import PORT_NAMES, ServerOptions, check_address, command_line

EMBEDDED = Binary(Path("/opt/tritonserver"), {}, Path("/opt/backends"))
EXTERNAL = Binary(Path("/opt/tritonserver"), {}, None)


def options(tmp_path: Path, **more: Any) -> ServerOptions:
    return ServerOptions(repository=tmp_path, log_file=tmp_path / "log", **more)


def test_all_models_are_loaded_under_explicit_control_by_default(tmp_path: Path) -> None:
    arguments = command_line(options(tmp_path), EMBEDDED, "me", complete_configs=True)
    assert "--model-control-mode=explicit" in arguments
    assert [argument for argument in arguments if argument.startswith("--load-model")] == ["--load-model=*"]
    assert "--http-address=127.0.0.1" in arguments
    assert "--backend-directory=/opt/backends" in arguments


def test_only_the_models_asked_for_are_loaded(tmp_path: Path) -> None:
    arguments = command_line(options(tmp_path, models=("a", "b")), EMBEDDED, "me", complete_configs=True)
    assert [argument for argument in arguments if argument.startswith("--load-model")] == [
        "--load-model=a",
        "--load-model=b",
    ]


def test_an_external_server_keeps_its_own_backends(tmp_path: Path) -> None:
    arguments = command_line(options(tmp_path), EXTERNAL, "me", complete_configs=True)
    assert not any(argument.startswith("--backend-directory") for argument in arguments)


def test_configs_are_completed_only_where_one_needs_it(tmp_path: Path) -> None:
    off = "--disable-auto-complete-config"
    assert off in command_line(options(tmp_path), EMBEDDED, "me", complete_configs=True)
    assert off not in command_line(options(tmp_path), EMBEDDED, "me", complete_configs=False)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_the_embedded_server_listens_on_loopback(tmp_path: Path, address: str) -> None:
    check_address(options(tmp_path, address=address), EMBEDDED)


@pytest.mark.parametrize("address", ["0.0.0.0", "10.0.0.7", "::", "node7"])
def test_the_embedded_server_refuses_other_addresses_unless_forced(tmp_path: Path, address: str) -> None:
    with pytest.raises(UnsafeAddressError, match="--allow-remote"):
        check_address(options(tmp_path, address=address), EMBEDDED)
    check_address(options(tmp_path, address=address, allow_remote=True), EMBEDDED)
    check_address(options(tmp_path, address=address), EXTERNAL)


def test_nor_does_it_tell_metrics_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(UnsafeAddressError, match=r"does not listen on 0\.0\.0\.0"):
        check_address(options(tmp_path, metrics_address="0.0.0.0"), EMBEDDED)


def test_with_tls_http_stays_on_this_machine_and_metrics_go_where_they_are_wanted(tmp_path: Path) -> None:
    tls = ServerTls(tmp_path / "cert", tmp_path / "key", tmp_path / "ca")
    plain, encrypted = (options(tmp_path, address="0.0.0.0", tls=one) for one in (None, tls))
    assert plain.address_of("http_port") == "0.0.0.0"
    assert [encrypted.address_of(name) for name in PORT_NAMES] == ["127.0.0.1", "0.0.0.0", "0.0.0.0"]
    kept = options(tmp_path, address="::1", tls=tls, metrics_address="127.0.0.1")
    assert [kept.address_of(name) for name in PORT_NAMES] == ["::1", "::1", "127.0.0.1"]
    arguments = command_line(encrypted, EXTERNAL, "me", complete_configs=True)
    assert {"--http-address=127.0.0.1", "--grpc-address=0.0.0.0", "--metrics-address=0.0.0.0"} <= set(arguments)
    assert [one for one in arguments if "ssl" in one or "-cert" in one or "server-key" in one] == [
        "--grpc-use-ssl=true",
        f"--grpc-server-cert={tmp_path}/cert",
        f"--grpc-server-key={tmp_path}/key",
        "--grpc-use-ssl-mutual=true",
        f"--grpc-root-cert={tmp_path}/ca",
    ]


def test_control_calls_are_closed_on_both_protocols_with_a_key_that_is_not_in_the_command(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("made-up-key-of-a-test")
    arguments = command_line(options(tmp_path, control_key_file=key_file), EXTERNAL, "me", complete_configs=True)
    closed = f"model-repository,shared-memory,trace,logging:rayton-control={SECRET}"
    assert f"--grpc-restricted-protocol={closed}" in arguments
    assert f"--http-restricted-api={closed}" in arguments
    assert not any("made-up" in argument for argument in arguments)
    open_to_all = command_line(options(tmp_path), EXTERNAL, "me", complete_configs=True)
    assert not any("restricted" in argument for argument in open_to_all)


def test_impossible_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="is not a folder"):
        ServerOptions(repository=tmp_path / "nowhere", log_file=tmp_path / "log")
    with pytest.raises(StartError, match="grpc_port 70000 is not a port"):
        options(tmp_path, grpc_port=70000)
    with pytest.raises(StartError, match="three different ports"):
        options(tmp_path, grpc_port=8001, http_port=8001)


def test_a_path_that_is_no_program_is_no_server(tmp_path: Path) -> None:
    (tmp_path / "tritonserver").write_text("text")
    with pytest.raises(StartError, match="tritonserver is not a program"):
        external_binary(tmp_path / "tritonserver")
