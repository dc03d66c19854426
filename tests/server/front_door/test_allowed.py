"""One table of what passes and what does not, for both doors."""

from collections.abc import Callable
from typing import Any

import pytest

from server.front_door.allowed import BEHIND_NGINX, FLEET, is_allowed
from server.front_door.settings import Limits

Doors = Any  # the fixture's own type lives in conftest.py, which tests do not import
KINDS = ["embedded", pytest.param("nginx", marks=[pytest.mark.slow, pytest.mark.processes])]
PASSING = [("GET", "/health"), *(("POST", f"/v1/fleet/{name}") for name in FLEET)]
REFUSED = [
    ("POST", "/v1/fleet/register-node"),
    ("POST", "/v1/fleet/unregister-node"),
    ("POST", "/v1/fleet/"),
    ("POST", "/v1/fleet"),
    ("POST", "/v1/control/start-run"),
    ("POST", "/v1/control/list-runs"),
    ("POST", "/v1/runtime/acquire-task"),
    ("GET", "/"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/redoc"),
    ("GET", "/v1/fleet/pull-messages"),
    ("HEAD", "/health"),
    ("POST", "/health"),
    ("PUT", "/v1/fleet/push-object"),
    ("OPTIONS", "/v1/fleet/push-object"),
    ("post", "/v1/fleet/push-object"),
    ("CONNECT", "/v1/fleet/push-object"),
    ("TRACE", "/health"),
    ("POST", "/v1/fleet/../control/start-run"),
    ("POST", "/v1/fleet/%2e%2e/control/start-run"),
    ("POST", "/v1/fleet/..%2fcontrol/start-run"),
    ("POST", "/v1/fleet/..;/control/start-run"),
    ("POST", "/v1/fleet/get-run/../../control/start-run"),
    ("POST", "/v1/control/../fleet/get-run"),
    ("POST", "/v1/fleet/./get-run"),
    ("POST", "//v1/fleet/get-run"),
    ("POST", "/v1//fleet/get-run"),
    ("POST", "/v1/fleet//get-run"),
    ("POST", "/v1/fleet/get-run/"),
    ("POST", "/V1/fleet/get-run"),
    ("POST", "/v1/fleet/GET-RUN"),
    ("POST", "/v1/fleet/get%2Drun"),
    ("POST", "/v1/fleet%2Fget-run"),
    ("POST", "/v1/fleet/get-run%00"),
    ("POST", "/v1/fleet/get-run%0a"),
    ("POST", "/v1/fleet/get-run%20"),
    ("POST", "/v1/fleet/get-run;x"),
    ("POST", "/v1/fleet/get-run?x=1"),
    ("POST", "/v1/fleet/get-run#x"),
    ("GET", "/health/"),
    ("GET", "/health?x"),
    ("GET", "/healthy"),
]
# What is not even HTTP, or names another kind of proxy, may be refused earlier, in the web server's own words.
EARLY = {400, 405}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_site_may_ask_passes_unchanged(doors: Doors, kind: str) -> None:
    port = doors.start_kind(kind)
    for method, target in PASSING:
        status, _ = doors.raw(port, method, target, {"flwr-signature": "AbC=="})
        assert (status, doors.recorder.seen[-1].method, doors.recorder.seen[-1].path) == (200, method, target)
        assert doors.recorder.seen[-1].headers["flwr-signature"] == "AbC=="
    assert len(doors.recorder.seen) == len(PASSING)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_refused_never_reaches_the_superlink(doors: Doors, kind: str) -> None:
    port = doors.start_kind(kind)
    answers = {pair: doors.raw(port, *pair) for pair in REFUSED}
    wrong = {pair: found for pair, found in answers.items() if found != (404, b"") and found[0] not in EARLY}
    assert wrong == {}
    assert sum(found == (404, b"") for found in answers.values()) >= len(REFUSED) - 6
    assert doors.recorder.seen == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", ["/v1/control/stream-logs", "/ws"])
def test_no_connection_is_upgraded(doors: Doors, kind: str, target: str) -> None:
    port = doors.start_kind(kind)
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x"}
    assert doors.raw(port, "GET", target, upgrade) == (404, b"")
    assert doors.recorder.seen == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_upgrade_of_an_allowed_path_is_not_passed_on(doors: Doors, kind: str) -> None:
    port = doors.start_kind(kind)
    assert doors.raw(port, "GET", "/health", {"Connection": "Upgrade", "Upgrade": "websocket"})[0] == 200
    assert not {"upgrade"} & set(doors.recorder.seen[0].headers)


@pytest.mark.parametrize("kind", KINDS)
def test_no_site_chooses_the_address_that_the_superlink_sees(doors: Doors, kind: str) -> None:
    port = doors.start_kind(kind)
    claims = {"X-Forwarded-For": "10.0.0.1", "Forwarded": "for=10.0.0.1", "X-Real-IP": "10.0.0.1"}
    assert doors.raw(port, "GET", "/health", claims)[0] == 200
    assert not {name.lower() for name in claims} & set(doors.recorder.seen[0].headers)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunked", [False, True])
def test_an_oversized_body_is_refused_and_never_reaches_the_superlink_whole(
    doors: Doors, kind: str, chunked: bool
) -> None:
    client = doors.client(doors.start_kind(kind, limits=Limits(body_bytes=100_000)))
    body = b"x" * 150_000
    content: Any = (body[at : at + 10_000] for at in range(0, len(body), 10_000)) if chunked else body
    assert client.post("/v1/fleet/push-object", content=content).status_code == 413
    assert client.post("/v1/fleet/push-object", content=body[:100_000]).content == body[:100_000]
    assert all(len(seen.body) <= 100_000 and seen.whole == (len(seen.body) == 100_000) for seen in doors.recorder.seen)


@pytest.mark.parametrize("kind", KINDS)
def test_who_asks_too_often_is_told_to_come_back(doors: Doors, kind: str) -> None:
    client = doors.client(doors.start_kind(kind, limits=Limits(requests_per_s=1, burst=5)))
    statuses = [client.get("/health").status_code for _ in range(12)]
    assert set(statuses) == {200, 503}
    assert 5 <= statuses.count(200) <= 7
    assert len(doors.recorder.seen) == statuses.count(200)


@pytest.mark.parametrize("kind", KINDS)
def test_a_superlink_that_is_away_is_a_status_that_a_supernode_survives(
    doors: Doors, kind: str, free_port: Callable[[], int]
) -> None:
    doors.recorder.port = free_port()
    client = doors.client(doors.start_kind(kind))
    for path in ("/v1/fleet/pull-messages", "/v1/fleet/push-object"):
        assert client.post(path, content=b"x").status_code in {502, 503, 504}


def test_a_holder_lets_all_that_a_site_signs_pass_and_nothing_else() -> None:
    assert all(is_allowed("POST", f"/v1/fleet/{name}".encode(), b"", allowed=BEHIND_NGINX) for name in FLEET)
    assert not is_allowed("GET", b"/health", b"", allowed=BEHIND_NGINX)
    assert not is_allowed("POST", b"/v1/fleet/", b"", allowed=BEHIND_NGINX)
