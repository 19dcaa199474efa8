"""Where the limiter of a server is looked for."""

from __future__ import annotations

from pathlib import Path

from ray_pipeline.sharing.connection import log_file_of, socket_name


def test_a_server_has_one_limiter_by_whichever_name_it_is_called() -> None:
    assert socket_name("localhost:8001") == socket_name("127.0.0.1:8001")
    assert socket_name("127.0.0.1:8001") != socket_name("127.0.0.1:8011")
    assert socket_name("gpu-7:8001") != socket_name("gpu-8:8001")


def test_a_name_fits_into_the_address_of_a_socket() -> None:
    name = socket_name(f"{'long.' * 50}example.org:8001")
    assert name.startswith("\0rayton-limiter-")
    assert len(name) < 108


def test_the_log_lies_in_one_folder_whatever_the_address_holds() -> None:
    assert log_file_of("[::1]:8001", Path("/home")).parent == Path("/home/logs")
    assert log_file_of("unix:///run/triton", Path("/home")).parent == Path("/home/logs")
