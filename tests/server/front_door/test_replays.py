"""What was signed once is passed on once, however it is dressed up."""

import base64
from typing import Any

import pytest
from starlette.responses import Response

from server.front_door.replays import WINDOW_S, Replays, signed

PATH = "/v1/fleet/push-object"
KEY, TIME = "flwr-public-key", "flwr-timestamp"
RAW = b"a public key, 23 bytes."


def headers(key: bytes = base64.b64encode(RAW), time: bytes = b"t") -> list[tuple[bytes, bytes]]:
    return [(KEY.encode(), key), (TIME.encode(), time)]


def other_text(text: bytes) -> bytes:
    """Another base64 text of the same bytes: the last bits before the padding are not used."""
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    end = len(text.rstrip(b"="))
    return text[: end - 1] + bytes([letters[letters.index(text[end - 1]) + 1]]) + text[end:]


def test_a_request_is_known_by_key_and_time_alone() -> None:
    again = other_text(base64.b64encode(RAW))
    assert base64.b64decode(again, validate=True) == RAW
    assert again != base64.b64encode(RAW)
    assert signed(headers()) == signed(headers(key=again)) == signed([*headers(), (b"flwr-signature", b"other")])
    assert signed(headers()) != signed(headers(time=b"u"))
    assert signed([(KEY.encode(), b"not base64"), (TIME.encode(), b"t")]) is None


def test_once_within_the_window_and_not_at_all_where_it_is_ambiguous() -> None:
    replays, request = Replays(), signed(headers())
    assert [replays.enter(request, at) for at in (0.0, 1.0, WINDOW_S, WINDOW_S + 1)] == [True, False, False, True]
    assert not replays.enter(signed([*headers(), (TIME.encode(), b"u")]), 0.0)
    assert replays.enter(None, 0.0)
    assert replays.enter(None, 0.0)


def test_what_was_not_let_in_is_forgotten_and_memory_has_an_end() -> None:
    replays = Replays(most=3)
    requests = [signed(headers(time=str(i).encode())) for i in range(5)]
    assert all(replays.enter(each, 0.0) for each in requests)
    assert len(replays) == 3
    replays.forget(requests[-1])
    assert replays.enter(requests[-1], 0.0)
    assert not replays.enter(requests[-2], 0.0)


@pytest.mark.parametrize(("status", "second"), [(200, 503), (500, 503), (401, 401)])
def test_a_door_passes_a_signed_request_on_once(doors: Any, status: int, second: int) -> None:
    client = doors.open()
    doors.recorder.reply = lambda _: Response(b"", status_code=status)
    sent = {KEY: base64.b64encode(RAW).decode(), TIME: "t"}
    answers = [client.post(PATH, content=body, headers=sent).status_code for body in (b"first", b"second")]
    assert answers == [status, second]
    assert len(doors.recorder.seen) == (1 if second == 503 else 2)
    assert client.post(PATH, content=b"third", headers={**sent, TIME: "u"}).status_code == status
