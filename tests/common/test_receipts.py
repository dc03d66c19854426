"""Receipts are linked, signed, and added by one writer at a time, also after a writer that was killed."""

import base64
import json
import multiprocessing
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from common.files import digest_bytes
from common.keys import SignatureError, public_text
from common.receipt_check import Problem, verify
from common.receipts import FORMAT, MAX_LINE, OWN_NAMES, append, is_signed_by, link, read_line, signed_line

KEY = Ed25519PrivateKey.generate()
OTHER = Ed25519PrivateKey.generate()
PUBLIC = public_text(KEY)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
ENTRIES = st.dictionaries(
    st.text().filter(lambda name: name not in OWN_NAMES), SCALARS | st.text() | st.lists(st.text()), max_size=5
)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@given(ENTRIES)
def test_a_signed_line_reads_back_as_what_was_noted(entry: dict[str, Any]) -> None:
    line = signed_line(link(entry, time="now", seq=3, previous="sha256:x"), KEY)
    receipt = read_line(line)
    assert receipt is not None
    assert (receipt.entry, receipt.seq, receipt.previous) == (entry, 3, "sha256:x")
    assert receipt.digest == digest_bytes(line)
    assert is_signed_by(receipt, PUBLIC)
    assert not is_signed_by(receipt, public_text(OTHER))


@given(ENTRIES, st.data())
def test_every_change_of_one_byte_shows(entry: dict[str, Any], data: st.DataObject) -> None:
    """Also of what has two texts for one value: spaces, escapes, numbers, the last letter of base64."""
    line = bytearray(signed_line(link(entry, time="now", seq=1, previous=""), KEY))
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != line[at]))
    receipt = read_line(bytes(line))
    assert receipt is None or not is_signed_by(receipt, PUBLIC)


def test_no_other_base64_of_the_same_signature_counts() -> None:
    line = signed_line(link({"a": 1}, time="now", seq=1, previous=""), KEY)
    start, signature = line[:-4], line[-5:-4]
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    same = []
    for letter in alphabet:
        changed = start[:-1] + bytes([letter]) + line[-4:]
        signed = json.loads(changed)["signature"]
        if base64.b64decode(signed) == base64.b64decode(json.loads(line)["signature"]):
            same.append(changed)
    assert len(same) == 16
    valid = [text for text in same if (receipt := read_line(text)) and is_signed_by(receipt, PUBLIC)]
    assert valid == [line], signature


@pytest.mark.parametrize("name", sorted(OWN_NAMES))
def test_an_entry_cannot_speak_for_the_log(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=name):
        append(tmp_path / "log", {name: 1}, KEY)
    assert (tmp_path / "log").read_bytes() == b""


def test_a_line_longer_than_any_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bytes"):
        append(tmp_path / "log", {"a": "x" * MAX_LINE}, KEY)
    assert (tmp_path / "log").read_bytes() == b""


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"seq": 1, "previous": "", "signature": 3}',
        b'{"seq": true, "previous": "", "signature": ""}',
        b'{"seq": -1, "previous": "", "signature": ""}',
        b'{"seq": 1.0, "previous": "", "signature": ""}',
        b'{"seq": 1, "previous": null, "signature": ""}',
        b'{"seq": 1, "set_aside": "1", "previous": "", "signature": ""}',
        b'{"signature": "", "seq": 1, "previous": ""}',
        b'{"seq":1,"previous":"","signature":""}',
        b'{"seq": 1, "seq": 1, "previous": "", "signature": ""}',
    ],
)
def test_what_is_not_a_receipt_is_none(text: bytes) -> None:
    assert read_line(text) is None


@pytest.mark.parametrize("signature", ["", "A", "AAAA", "ä", "\ud800", "=" * 88])
def test_a_signature_of_any_form_is_only_not_a_signature(signature: str) -> None:
    receipt = read_line(json.dumps({"seq": 1, "previous": "", "signature": signature}).encode())
    assert receipt is not None
    assert not is_signed_by(receipt, PUBLIC)


def test_a_key_that_is_none_is_said() -> None:
    receipt = read_line(signed_line(link({}, time="now", seq=1, previous=""), KEY))
    assert receipt is not None
    with pytest.raises(SignatureError, match="not a public signing key"):
        is_signed_by(receipt, "ed25519:x")


@pytest.mark.parametrize("durable", [True, False])
def test_a_log_begins_with_its_key_and_each_line_holds_the_digest_of_the_one_before(
    durable: bool, tmp_path: Path
) -> None:
    path = tmp_path / "deep" / "log"
    for number in range(3):
        append(path, {"n": number}, KEY, durable=durable)
    raw, found = path.read_bytes().split(b"\n")[:-1], lines(path)
    assert [line["seq"] for line in found] == [0, 1, 2, 3]
    assert (found[0]["log"], found[0]["key"]) == (FORMAT, PUBLIC)
    assert [line["previous"] for line in found] == ["", *(digest_bytes(line) for line in raw[:-1])]
    assert list(found[1]) == ["time", "seq", "n", "previous", "signature"]
    assert datetime.fromisoformat(found[1]["time"]).tzinfo == UTC
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert verify(path, PUBLIC) == []


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read = tmp_path / "log", []
    for number in range(200):
        append(path, {"n": number, "text": "x" * 1000}, KEY, durable=False)
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda file, size, at: read.append(size) or real(file, size, at))
    append(path, {"n": 200}, KEY, durable=False)
    assert sum(read) < path.stat().st_size / 10
    assert verify(path, PUBLIC) == []


@pytest.mark.parametrize("size", [10, 5_000, 100_000])
def test_a_long_line_at_the_end_is_found_too(size: int, tmp_path: Path) -> None:
    path = tmp_path / "log"
    for number in range(3):
        append(path, {"n": number, "text": "x" * size}, KEY, durable=False)
    assert verify(path, PUBLIC) == []


def whole(tmp_path: Path) -> tuple[Path, bytes]:
    path = tmp_path / "log"
    path.unlink(missing_ok=True)
    for number in range(2):
        append(path, {"n": number}, KEY, durable=False)
    return path, path.read_bytes()


@given(st.data())
def test_a_writer_killed_anywhere_in_its_line_spoils_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """What it left is torn, before and after the next line; of all other lines none is lost."""
    path, content = whole(tmp_path_factory.mktemp("log"))
    start = content.rindex(b"\n", 0, -1) + 1
    cut = data.draw(st.integers(start, len(content) - 1))
    path.write_bytes(content[:cut])
    left = cut - start
    is_torn = 0 < left < len(content) - 1 - start
    before = verify(path, PUBLIC)
    assert [problem.kind for problem in before] == (["torn"] if is_torn else [])
    append(path, {"n": 9}, KEY, durable=False)
    append(path, {"n": 10}, KEY, durable=False)
    assert path.read_bytes().startswith(content[:cut])
    problems = verify(path, PUBLIC)
    assert [problem.kind for problem in problems] == (["torn"] if is_torn else [])
    found = [r.entry for line in path.read_bytes().splitlines() if (r := read_line(line)) and r.seq]
    kept = [{"n": 0}] if is_torn or not left else [{"n": 0}, {"n": 1}]
    assert found == [*kept, {"n": 9}, {"n": 10}]


def test_two_writers_killed_one_after_the_other_are_one_torn_place(tmp_path: Path) -> None:
    path, content = whole(tmp_path)
    path.write_bytes(content + b'{"time": "2\n{"ti')
    append(path, {"n": 9}, KEY, durable=False)
    assert verify(path, PUBLIC) == [Problem(4, "torn", "16 bytes that a stopped writer left; the next line says so")]


@pytest.mark.parametrize("length", [1, 40])
def test_a_log_whose_first_line_was_never_finished_begins_after_it(length: int, tmp_path: Path) -> None:
    path, content = whole(tmp_path)
    path.write_bytes(content[:length])
    append(path, {"n": 9}, KEY, durable=False)
    assert [(p.line, p.kind) for p in verify(path, PUBLIC)] == [(1, "torn")]


def test_another_key_s_log_is_not_continued(tmp_path: Path) -> None:
    path, content = whole(tmp_path)
    with pytest.raises(UserError, match=r"not signed by the key .*move this one away"):
        append(path, {"n": 9}, OTHER)
    assert path.read_bytes() == content


def test_another_kind_of_file_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"n": 1}\n')
    with pytest.raises(UserError, match=r"journal\.jsonl has lines, none of them a receipt"):
        append(path, {"n": 9}, KEY)
    assert path.read_bytes() == b'{"n": 1}\n'


def _write_many(path: Path, key: bytes, count: int) -> None:
    for number in range(count):
        append(path, {"n": number}, Ed25519PrivateKey.from_private_bytes(key), durable=False)


@pytest.mark.processes
def test_processes_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "log"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(path, KEY.private_bytes_raw(), 100)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert verify(path, PUBLIC) == []
    assert [line["seq"] for line in lines(path)] == list(range(301))
