from collections.abc import Callable
from typing import Any

import pytest

from client.dashboard.chain import ChainCheck

Make = Callable[..., Any]
Note = Callable[..., None]


def edit(content: bytes) -> bytes:
    return content.replace(b'"size_bytes": 1000', b'"size_bytes": 1001', 1)


@pytest.mark.parametrize(
    ("change", "tone", "word"),
    [
        (lambda content: content, "good", "whole: 3 receipts"),
        (edit, "bad", "NOT whole: 1 of its lines"),
        (lambda content: content.replace(content.split(b"\n")[2] + b"\n", b""), "bad", "NOT whole"),
        (lambda content: content + b'{"half', "good", "whole: 3 receipts"),
        (lambda content: b"no receipts\n", "bad", "not known"),
    ],
)
def test_it_says_whether_the_chain_holds(
    change: Callable[[bytes], bytes], tone: str, word: str, make_site: Make, note: Note
) -> None:
    folder = make_site().folder
    check = ChainCheck(folder)
    assert "There is no journal" in check.notes()[0].text
    for number in (1, 2, 3):
        note(folder, round=number)
    folder.journal.write_bytes(change(folder.journal.read_bytes()))
    head = check.notes()[0]
    assert (head.tone, word in head.text) == (tone, True), head


def test_a_file_is_checked_again_when_it_has_changed(make_site: Make, note: Note) -> None:
    folder = make_site().folder
    check = ChainCheck(folder)
    note(folder)
    assert check.notes() is check.notes()
    note(folder)
    assert "2 receipts" in check.notes()[0].text


def test_a_log_by_another_key_is_not_this_site_s(make_site: Make, note: Note) -> None:
    folder = make_site().folder
    note(folder)
    from common.keys import make_signing_key

    folder.signing_key.unlink()
    make_signing_key(folder.signing_key)
    notes = ChainCheck(folder).notes()
    assert notes[0].tone == "bad"
    assert "another key" in notes[1].text
