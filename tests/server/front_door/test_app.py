"""The embedded door before a real upstream: bytes, headers, failures, limits, long polls."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.responses import RedirectResponse, Response, StreamingResponse

Doors = Any  # the fixture's own type lives in conftest.py, which tests do not import
PULL, PUSH = "/v1/fleet/pull-messages", "/v1/fleet/push-object"
FAST = {"interval_s": 0.02, "idle_interval_s": 0.02, "upstream_per_s": 100.0}


def until(holds: Callable[[], bool], *, limit_s: float = 10.0) -> None:
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def messages(*answers: bytes) -> Callable[[Any], Response]:
    """Answer with these bodies in turn, then with nothing."""
    left: Iterator[bytes] = iter(answers)
    return lambda _: Response(next(left, b""))


@pytest.mark.parametrize("path", [PULL, PUSH])
def test_bytes_in_are_bytes_out(doors: Doors, path: str) -> None:
    client = doors.open()

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(body=st.binary(max_size=3000), repeat=st.sampled_from([1, 20]), chunked=st.booleans())
    def check(body: bytes, repeat: int, chunked: bool) -> None:
        content: Any = (body for _ in range(repeat)) if chunked else body * repeat
        answer = client.post(path, content=content)
        assert answer.content == body * repeat == doors.recorder.seen[-1].body
        # What is held is asked again, so it is kept whole; what is not goes on as it comes.
        length = None if chunked and path == PUSH else str(len(body * repeat))
        assert doors.recorder.seen[-1].headers.get("content-length") == length

    check()


def test_an_object_of_the_largest_size_passes(doors: Doors) -> None:
    body = bytes(range(256)) * (8 * 2**20 // 256)
    assert doors.open().post(PUSH, content=body).content == body


def test_headers_pass_but_for_those_of_one_connection(doors: Doors) -> None:
    sent = {"flwr-public-key": "k==", "FLWR-Timestamp": "t", "flwr-signature": "s/+", "x-other": "1", "x-mine": "2"}
    client = doors.open()
    doors.recorder.reply = lambda seen: Response(b"", headers={"flwr-a": "b", "server": "link", "keep-alive": "x"})
    answer = client.post(PUSH, content=b"x", headers={**sent, "connection": "x-mine, keep-alive", "te": "trailers"})
    reached = doors.recorder.seen[0].headers
    wanted = {name.lower(): value for name, value in sent.items() if name != "x-mine"}
    assert {name: reached.get(name) for name in wanted} == wanted
    assert not {"x-mine", "te", "keep-alive", "transfer-encoding"} & set(reached)
    assert answer.headers["flwr-a"] == "b"
    assert not {"server", "keep-alive"} & set(answer.headers)


def test_no_header_is_added_that_would_change_the_answer(doors: Doors) -> None:
    client = doors.open()
    del client.headers["accept-encoding"]
    client.post(PUSH, content=b"x")
    assert "accept-encoding" not in doors.recorder.seen[0].headers


@pytest.mark.parametrize("status", [200, 204, 401, 403, 404, 500, 503])
def test_an_answer_of_the_superlink_keeps_its_status(doors: Doors, status: int) -> None:
    doors.recorder.reply = lambda _: Response(b"", status)
    assert doors.open().post(PUSH, content=b"x").status_code == status
    assert doors.open().post(PULL, content=b"x").status_code == status


@pytest.mark.parametrize("path", [PULL, PUSH])
def test_no_redirect_is_passed_on(doors: Doors, path: str) -> None:
    doors.recorder.reply = lambda _: RedirectResponse("https://elsewhere.example/")
    answer = doors.open().post(path, content=b"x")
    assert (answer.status_code, answer.content, answer.headers.get("location")) == (502, b"", None)
    assert len(doors.recorder.seen) == 1


@pytest.mark.parametrize("path", [PULL, PUSH])
def test_a_slow_superlink_is_a_time_out_and_not_a_hang(doors: Doors, path: str) -> None:
    doors.recorder.pause = asyncio.Event()
    started = time.monotonic()
    assert doors.open(limits={"upstream_timeout_s": 0.3}).post(path, content=b"x").status_code == 504
    assert time.monotonic() - started < 5


def test_a_request_as_a_whole_ends_in_time(doors: Doors) -> None:
    doors.recorder.pause = asyncio.Event()
    assert doors.open(limits={"request_timeout_s": 0.3}).post(PUSH, content=b"x").status_code == 504


def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(doors: Doors) -> None:
    async def broken() -> Any:
        yield b"half"
        await asyncio.Event().wait()

    doors.recorder.reply = lambda _: StreamingResponse(broken())
    with pytest.raises(httpx.RemoteProtocolError):
        doors.open(limits={"upstream_timeout_s": 0.3}).post(PUSH, content=b"x")


def test_only_the_superlink_with_the_internal_certificate_is_asked(doors: Doors) -> None:
    assert doors.open(upstream_ca=doors.public.ca).post(PUSH, content=b"secret").status_code == 502
    assert doors.recorder.seen == []


def test_tls_below_1_2_is_refused(doors: Doors) -> None:
    old = ssl.create_default_context(cafile=str(doors.public.ca))
    old.set_ciphers("ALL:@SECLEVEL=0")
    port = doors.start()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", port)) as plain, pytest.raises(ssl.SSLError):
        old.wrap_socket(plain, server_hostname="127.0.0.1")


def test_one_peer_may_ask_only_so_much_at_once(doors: Doors) -> None:
    doors.recorder.pause = asyncio.Event()
    client = doors.open(limits={"requests_per_peer": 2, "upstream_timeout_s": 1.5})
    with ThreadPoolExecutor(5) as pool:
        statuses = sorted(pool.map(lambda _: client.post(PUSH, content=b"x").status_code, range(5)))
    assert statuses == [503, 503, 503, 504, 504]
    assert len(doors.recorder.seen) == 2
    doors.recorder.pause = None
    assert client.post(PUSH, content=b"x").status_code == 200


def test_a_poll_returns_the_first_message(doors: Doors) -> None:
    doors.recorder.reply = messages(b"", b"", b"", b"news", b"later")
    client = doors.open(polling={"hold_s": 10, **FAST})
    assert client.post(PULL, content=b"who", headers={"flwr-signature": "s"}).content == b"news"
    assert [(seen.body, seen.headers["flwr-signature"]) for seen in doors.recorder.seen] == [(b"who", "s")] * 4


def test_a_poll_ends_with_nothing_when_its_time_is_over(doors: Doors) -> None:
    doors.recorder.reply = messages()
    started = time.monotonic()
    answer = doors.open(polling={"hold_s": 0.5, **FAST}).post(PULL, content=b"who")
    assert (answer.status_code, answer.content) == (200, b"")
    assert 0.5 <= time.monotonic() - started < 5
    assert 5 <= len(doors.recorder.seen) <= 30


@pytest.mark.parametrize(
    ("path", "status", "is_quick"),
    [(PUSH, 200, True), ("/v1/fleet/send-node-heartbeat", 200, False), (PUSH, 401, False)],
)
def test_what_a_site_sends_in_a_run_makes_the_polls_quick(doors: Doors, path: str, status: int, is_quick: bool) -> None:
    client = doors.open(polling={"hold_s": 0.5, "interval_s": 0.02, "idle_interval_s": 60, "longest_interval_s": 60})
    doors.recorder.reply = lambda seen: Response(b"", 200 if seen.path == PULL else status)
    assert client.post(path, content=b"x").status_code == status
    client.post(PULL, content=b"who")
    asked = [seen.path for seen in doors.recorder.seen].count(PULL)
    assert asked > 3 if is_quick else asked <= 2, asked


def test_a_poll_passes_a_refusal_on_at_once(doors: Doors) -> None:
    doors.recorder.reply = lambda _: Response(b"", 401)
    assert doors.open(polling={"hold_s": 20, **FAST}).post(PULL, content=b"who").status_code == 401
    assert len(doors.recorder.seen) == 1


def test_a_poller_that_goes_stops_the_repeats(doors: Doors) -> None:
    doors.recorder.reply = messages()
    client = doors.open(polling={"hold_s": 20, **FAST})
    with pytest.raises(httpx.ReadTimeout):
        client.post(PULL, content=b"who", timeout=0.3)
    # One question may have been on its way; then there is a time of many intervals without one.
    counts: list[int] = []
    until(lambda: counts.append(len(doors.recorder.seen)) or (len(counts) > 50 and counts[-1] == counts[-50]))
    assert counts[-1] > 3


def test_a_poll_keeps_only_a_small_question(doors: Doors) -> None:
    assert doors.open().post(PULL, content=b"x" * 70_000).status_code == 413
    assert doors.recorder.seen == []


@pytest.mark.parametrize("is_chunked", [False, True])
def test_one_peer_may_send_only_so_much_in_all(doors: Doors, is_chunked: bool) -> None:
    """A body whose length is not said counts as one of the largest size."""
    client = doors.open(limits={"body_bytes": 1000, "bytes_per_peer": 2500, "window_s": 3600})
    piece = b"x" * 800
    answers = [client.post(PUSH, content=iter([piece]) if is_chunked else piece).status_code for _ in range(5)]
    assert answers == ([200] * 2 + [503] * 3 if is_chunked else [200] * 3 + [503] * 2)
    assert len(doors.recorder.seen) == answers.count(200)
    assert client.post(PUSH, content=b"").status_code == 200
