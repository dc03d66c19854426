"""Sums over a journal: each whole line once, and nothing counted by a word that is not ours."""

import json
from pathlib import Path

from client.journal_counts import OTHER, JournalCounts

LINES = [
    {"log": "fedpeft receipts 1", "key": "k"},
    {"kind": "preflight", "decision": "released", "reason": None, "size_bytes": 90, "examples": None},
    {"kind": "train", "decision": "released", "reason": None, "size_bytes": 400, "examples": 38},
    {"kind": "train", "decision": "repeated", "reason": None, "size_bytes": 400, "examples": 38},
    {"kind": "train", "decision": "refused", "reason": "NOT_APPROVED", "size_bytes": 0, "examples": None},
    {"kind": "evaluate", "decision": "refused", "reason": "Mr Smith", "size_bytes": 0, "examples": None},
    {"kind": "poetry", "decision": "released", "reason": None, "size_bytes": 1, "examples": 1},
]


def test_every_line_counts_once_however_the_file_grows(tmp_path: Path) -> None:
    content = b"".join(json.dumps(line).encode() + b"\n" for line in LINES) + b"no json\n[]\n"
    counts = JournalCounts(tmp_path / "journal.jsonl")
    counts.read_on()
    for end in range(0, len(content) + 1, 11):
        counts.path.write_bytes(content[:end])
        counts.read_on()
    counts.path.write_bytes(content)
    counts.read_on()
    assert counts.answers == {
        ("preflight", "released"): 1,
        ("train", "released"): 1,
        ("train", "repeated"): 1,
        ("train", "refused"): 1,
        ("evaluate", "refused"): 1,
    }
    assert counts.refusals == {"NOT_APPROVED": 1, OTHER: 1}
    assert (counts.size_bytes, counts.rows) == (890, 38)
