"""Whatever stands in a message or an exception, an entry stays one entry."""

import logging
import sys

from hypothesis import given
from hypothesis import strategies as st

from common.log_text import INDENT, EntryFormatter


def entry(message: str, text: str) -> str:
    try:
        raise ValueError(text)
    except ValueError:
        record = logging.LogRecord("n", logging.ERROR, "p", 1, "%s", (message,), sys.exc_info())
    return EntryFormatter("%(levelname)s %(message)s").format(record)


@given(message=st.text(), text=st.text())
def test_only_the_first_line_begins_at_the_margin(message: str, text: str) -> None:
    first, *others = entry(message, text).split("\n")
    assert first.startswith("ERROR ")
    assert all(line.startswith(INDENT) for line in others)
    assert all(line.isprintable() for line in [first, *others])


def test_a_forged_entry_is_seen_to_be_none() -> None:
    found = entry("asked\n2026-01-01 ERROR forged", "x\x1b[2K\rforged")
    assert found.startswith("ERROR asked\n    2026-01-01 ERROR forged\n    Traceback")
    assert found.endswith("\n    ValueError: x?[2K?forged")
