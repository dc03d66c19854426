import json
import stat
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.journal import Entry, Journal
from common.errors import UserError
from common.keys import public_text
from common.receipt_check import read_log, verify

ENTRY = Entry(
    decision="released",
    site="east",
    study="sha256:s",
    run="run-1",
    round=1,
    kind="train",
    reason=None,
    tensors=2,
    size_bytes=8,
    digest="sha256:d",
    metrics=["validation auroc"],
    histograms=["validation"],
    examples=20,
)


def test_a_journal_is_for_its_user_only(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    for _ in range(2):
        journal.append(ENTRY)
        assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("durable", [True, False])
def test_a_line_is_added_and_none_is_changed(durable: bool, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep" / "journal.jsonl", durable=durable)
    seen = b""
    for _ in range(3):
        journal.append(ENTRY)
        content = journal.path.read_bytes()
        assert content.startswith(seen)
        assert content.endswith(b"\n")
        seen = content
    lines = [json.loads(line) for line in seen.splitlines()]
    assert all({name: line[name] for name in asdict(ENTRY)} == asdict(ENTRY) for line in lines)
    assert [set(line) for line in lines] == [{"time", *(field.name for field in fields(Entry))}] * 3


def test_a_line_says_when_in_utc(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    Journal(tmp_path / "j").append(ENTRY)
    time = datetime.fromisoformat(json.loads((tmp_path / "j").read_text())["time"])
    assert time.utcoffset() is not None
    assert abs((time - before).total_seconds()) < 60


def test_a_name_with_a_line_break_stays_on_one_line(tmp_path: Path) -> None:
    Journal(tmp_path / "j").append(Entry(**{**asdict(ENTRY), "reason": 'two\nlines, "quoted"'}))
    (line,) = (tmp_path / "j").read_text().splitlines()
    assert json.loads(line)["reason"] == 'two\nlines, "quoted"'


@pytest.mark.parametrize("durable", [True, False])
def test_with_a_key_lines_are_receipts_of_the_same_entries(durable: bool, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    journal = Journal(tmp_path / "deep" / "journal.jsonl", durable=durable, key=key)
    for _ in range(3):
        journal.append(ENTRY)
    assert verify(journal.path, public_text(key)) == []
    assert [receipt.entry for receipt in read_log(journal.path).receipts] == [asdict(ENTRY)] * 3
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600


def test_a_journal_that_cannot_be_continued_lets_nothing_out(tmp_path: Path) -> None:
    """The gate writes first: see test_gate, where a journal that fails stops a release."""
    Journal(tmp_path / "j").append(ENTRY)
    with pytest.raises(UserError, match="none of them a receipt"):
        Journal(tmp_path / "j", key=Ed25519PrivateKey.generate()).append(ENTRY)


def test_a_journal_does_not_show_its_key(tmp_path: Path) -> None:
    assert "key" not in repr(Journal(tmp_path / "j", key=Ed25519PrivateKey.generate()))
