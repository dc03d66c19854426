"""The holder on the loopback, and the whole of nginx and holder: the same rules as those of the embedded door."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.responses import Response

from server.front_door.settings import Limits

Doors = Any  # the fixture's own type lives in conftest.py, which tests do not import
PULL, PUSH = "/v1/fleet/pull-messages", "/v1/fleet/push-object"
POLLING = {"hold_s": 5, "interval_s": 0.02, "idle_interval_s": 0.02, "upstream_per_s": 100.0}
REAL_NGINX = [pytest.mark.slow, pytest.mark.processes]
PLACES = ["holder", pytest.param("nginx", marks=REAL_NGINX)]
SIGNED = {"flwr-public-key": "bm90IGEga2V5", "flwr-timestamp": "t"}


def messages(*answers: bytes) -> Callable[[Any], Response]:
    """Answer with these bodies in turn, then with nothing."""
    left: Iterator[bytes] = iter(answers)
    return lambda _: Response(next(left, b""))


def opened(doors: Doors, place: str, **limits: Any) -> Any:
    """Return a client of the holder itself, or of nginx before it, both with these limits."""
    told = Limits(**limits)
    holder = doors.start(role="holder", certfile=None, keyfile=None, polling=POLLING, limits=told.model_dump())
    if place == "holder":
        return doors.client(holder, plain=True)
    return doors.client(doors.start_nginx(holder_port=holder, limits=told))


@pytest.mark.parametrize("place", PLACES)
def test_a_poll_is_held_and_what_is_sent_goes_on(doors: Doors, place: str) -> None:
    doors.recorder.reply = messages(b"", b"", b"news")
    client = opened(doors, place)
    assert client.post(PULL, content=b"who").content == b"news"
    assert [seen.body for seen in doors.recorder.seen] == [b"who"] * 3
    doors.recorder.reply = lambda seen: Response(seen.body)
    assert client.post(PUSH, content=b"object").content == b"object"
    assert client.get("/health").status_code == (404 if place == "holder" else 200)
    assert not {"x-real-ip", "x-forwarded-for"} & set(doors.recorder.seen[-1].headers)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("path", [PULL, PUSH, "/v1/fleet/get-run"])
def test_a_signed_request_goes_on_once_whatever_it_asks(doors: Doors, place: str, path: str) -> None:
    client = opened(doors, place)
    doors.recorder.reply = lambda _: Response(b"news")
    answers = [client.post(where, content=b"x", headers=SIGNED).status_code for where in (PUSH, path)]
    assert answers == [200, 503]
    assert len(doors.recorder.seen) == 1


@pytest.mark.parametrize("place", PLACES)
def test_one_peer_may_send_only_so_much_in_all_behind_nginx_too(doors: Doors, place: str) -> None:
    """Whatever address a site claims to have, nginx says the one that it came from."""
    client = opened(doors, place, body_bytes=1000, bytes_per_peer=2500, window_s=3600)
    claims = [{"X-Real-IP": f"10.0.0.{i if place == 'nginx' else 1}"} for i in range(5)]
    answers = [client.post(PUSH, content=b"x" * 800, headers=claim).status_code for claim in claims]
    assert answers == [200] * 3 + [503] * 2
    assert len(doors.recorder.seen) == 3


def test_peers_are_those_that_nginx_names(doors: Doors) -> None:
    """An IPv6 host has its whole /64; who is not named at all, is one with everybody who is not."""
    client = opened(doors, "holder", body_bytes=1000, bytes_per_peer=1000, window_s=3600)
    said = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "192.0.2.1"]
    answers = [client.post(PUSH, content=b"x" * 800, headers={"X-Real-IP": each}).status_code for each in said]
    assert answers == [200, 200, 200, 503, 200, 503]
    assert [client.post(PUSH, content=b"x" * 800).status_code for _ in range(2)] == [200, 503]


@pytest.mark.slow
@pytest.mark.processes
def test_nginx_takes_no_body_with_a_question_after_its_health(doors: Doors) -> None:
    client = opened(doors, "nginx")
    assert client.request("GET", "/health", content=b"x" * 2000).status_code == 413
    assert doors.recorder.seen == []
