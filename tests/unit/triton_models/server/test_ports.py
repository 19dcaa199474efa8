"""Ports are chosen where none is given, and refused where another has them."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from triton_models.server.errors import PortInUseError
from triton_models.server.options import ServerOptions
from triton_models.server.ports import choose_ports, steady_port


def test_three_different_free_ports_are_chosen_that_the_system_gives_to_nobody(tmp_path: Path) -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    chosen = choose_ports(ServerOptions(tmp_path, tmp_path / "log"))
    ports = {chosen.http_port, chosen.grpc_port, chosen.metrics_port}
    assert len(ports) == 3
    assert not any(first <= port <= last for port in ports)
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


def test_a_port_that_is_drawn_twice_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = choose_ports(ServerOptions(tmp_path, tmp_path / "log"))
    draws = iter([free.http_port, free.metrics_port, free.http_port, free.http_port, free.grpc_port])
    monkeypatch.setattr("secrets.choice", lambda _: next(draws))
    assert choose_ports(replace(free, http_port=0, grpc_port=0)) == free


def test_a_port_that_another_shares_willingly_is_taken_all_the_same(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as gRPC does
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"--grpc-port {port} on 127.0.0.1 cannot be used"):
            choose_ports(ServerOptions(tmp_path, tmp_path / "log", grpc_port=port))


def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PortInUseError, match="cannot be used: Cannot assign requested address"):
        choose_ports(ServerOptions(tmp_path, tmp_path / "log", address="192.0.2.1"))


def test_a_server_that_is_to_come_back_gets_a_port_that_the_system_gives_to_nobody() -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    port = steady_port()
    assert not first <= port <= last
    socket.create_server(("127.0.0.1", port)).close()
