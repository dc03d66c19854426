import pytest

from common.web.hosts import LOOPBACK_NAMES, Hosts, hosts_of, without_port


@pytest.mark.parametrize("header", ["localhost", "localhost:80", "127.0.0.1:8080", "[::1]:9", "LOCALHOST:1"])
def test_the_loopback_is_known_by_its_names(header: str) -> None:
    assert hosts_of("127.0.0.1").allow(header)


@pytest.mark.parametrize("header", ["", "evil.example", "evil.example:80", "localhost.evil.example", "10.0.0.1", "::"])
def test_a_foreign_name_is_refused(header: str) -> None:
    assert not hosts_of("127.0.0.1").allow(header)


def test_the_bound_name_counts() -> None:
    assert hosts_of("Study.Example").allow("study.example:8080")
    assert not hosts_of("study.example").allow("other.example")


def test_a_wildcard_is_reached_by_any_address_and_no_foreign_name() -> None:
    hosts = hosts_of("0.0.0.0")
    assert hosts.allow("10.1.2.3:80")
    assert hosts.allow("[fe80::1]:80")
    assert not hosts.allow("evil.example:80")


def test_without_port_leaves_a_name_alone() -> None:
    assert without_port("name") == "name"
    assert Hosts(LOOPBACK_NAMES).allow("localhost:http") is False
