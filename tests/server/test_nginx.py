"""The text of the nginx configuration; that nginx does what it says is tested in tests/server/front_door."""

import re
from pathlib import Path
from typing import Any

import pytest

from common.errors import UserError
from server import nginx
from server.front_door.allowed import ALLOWED
from server.front_door.headers import CLAIMED, PEER
from server.front_door.settings import Limits

PLACES: dict[str, Any] = {
    "folder": Path("/srv/door"),
    "host": "0.0.0.0",
    "port": 443,
    "certificate": Path("/srv/certs/door.pem"),
    "key": Path("/srv/certs/door.key"),
    "upstream_port": 9092,
    "upstream_ca": Path("/srv/certs/link-ca.crt"),
}


def test_every_allowed_path_and_no_other_is_in_the_map() -> None:
    found = re.findall(r'"~\^([A-Z]+) (\S+)\\z" 1;', nginx.render(**PLACES))
    assert {path: method for method, path in found} == dict(ALLOWED)
    assert len(found) == len(ALLOWED)


def test_the_superlink_is_reached_only_verified() -> None:
    text = nginx.render(**PLACES)
    for line in ("proxy_ssl_verify on;", "proxy_ssl_name localhost;", 'proxy_ssl_trusted_certificate "/srv/certs/'):
        assert line in text
    assert "listen 0.0.0.0:443 ssl;" in text
    assert "http://" not in text


def test_all_that_a_site_signs_goes_to_the_holder_with_the_address_that_it_came_from() -> None:
    text = nginx.render(**PLACES, holder_port=9100)
    place = re.search(r"location (/v1/fleet/) \{([^}]*)proxy_pass http://127\.0\.0\.1:9100;", text)
    assert place is not None
    assert text.count("127.0.0.1:9100") == 1
    headers = dict(re.findall(r"proxy_set_header (\S+) (\S+);", place[2]))
    cleared = {name.decode(): '""' for name in CLAIMED - {PEER}}
    assert headers == {"Connection": '""', "Host": "localhost", **cleared, "x-real-ip": "$remote_addr"}


def test_limits_are_those_of_the_embedded_door() -> None:
    limits = Limits(body_bytes=1234, requests_per_peer=5, connections=77, requests_per_s=0.5, burst=9)
    text = nginx.render(**PLACES, limits=limits)
    for line in ("client_max_body_size 1234;", "limit_conn peer 5;", "limit_conn all 77;", "rate=30r/m;", "burst=9 "):
        assert line in text


@pytest.mark.parametrize("name", ['/srv/a"b', "/srv/a$b", "/srv/a\nb", "/srv/a\\", "srv/a"])
def test_a_path_that_nginx_would_misread_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="cannot stand in an nginx configuration"):
        nginx.render(**{**PLACES, "folder": Path(name)})
