import json

from common.web.event_stream import last_id, message


def test_a_message_is_one_block_whatever_the_text() -> None:
    found = message("round", {"reason": "two\nlines"}, id=7).decode()
    assert found.endswith("\n\n")
    assert found.count("\n\n") == 1
    data = next(line.removeprefix("data: ") for line in found.splitlines() if line.startswith("data: "))
    assert json.loads(data) == {"reason": "two\nlines"}


def test_only_a_position_is_an_id() -> None:
    assert last_id("12") == 12
    assert [last_id(text) for text in ("-1", "1.5", "", "9" * 40, "\u0661")] == [None] * 5
