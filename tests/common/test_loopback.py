import socket

import pytest

from common.loopback import LOOPBACK, are_free, free_ports


def test_free_ports_are_free_and_differ() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert are_free(*ports)
    assert are_free()


@pytest.mark.parametrize("place", range(3))
def test_a_port_on_which_somebody_listens_is_not_free(place: int) -> None:
    ports = free_ports(3)
    with socket.create_server((LOOPBACK, ports[place])):
        assert not are_free(*ports)
    assert are_free(*ports)
