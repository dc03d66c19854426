"""Ports stay from start to start, unless somebody else has taken one."""

import socket
from dataclasses import astuple
from pathlib import Path

import pytest

from common.errors import UserError
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.ports import check_door, choose_ports, read_ports


@pytest.fixture
def folder(tmp_path: Path) -> CoordinatorFolder:
    (tmp_path / "run").mkdir()
    return CoordinatorFolder(tmp_path)


def test_ports_differ_and_are_kept(folder: CoordinatorFolder) -> None:
    ports = choose_ports(folder)
    assert len(set(astuple(ports))) == 3
    assert choose_ports(folder) == ports == read_ports(folder)


def test_a_port_that_is_taken_is_replaced(folder: CoordinatorFolder) -> None:
    ports = choose_ports(folder)
    with socket.create_server(("127.0.0.1", ports.superexec)):
        assert ports.superexec not in astuple(choose_ports(folder))


@pytest.mark.parametrize("content", ["", "[1]", '{"link": 1}', '{"link": "x", "superexec": 1, "holder": 2}'])
def test_a_damaged_file_is_as_none(folder: CoordinatorFolder, content: str) -> None:
    (folder.run / "ports.json").write_text(content)
    with pytest.raises(UserError, match="was never started"):
        read_ports(folder)
    assert choose_ports(folder) == read_ports(folder)


def test_a_door_s_port_that_is_taken_is_told_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"127\.0\.0\.1, port {port} \(Address already in use\); end what listens"):
            check_door("127.0.0.1", port)
    check_door("127.0.0.1", port)
