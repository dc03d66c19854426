"""Heads of a log of receipts are those of its lines."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common import receipts
from common.files import digest_bytes
from server.receipt_heads import receipt_heads


def test_counts_and_heads_are_those_of_the_lines(tmp_path: Path) -> None:
    path, key = tmp_path / "receipts.jsonl", Ed25519PrivateKey.generate()
    for site in ("west", "east", "west"):
        receipts.append(path, {"site": site}, key, durable=False)
    lines = path.read_bytes().splitlines()
    found = receipt_heads(path)
    assert found is not None
    assert (found["signed"], found["count"], found["head"]) == (True, 3, digest_bytes(lines[-1]))
    assert found["sites"] == {
        "east": {"count": 1, "head": digest_bytes(lines[2])},
        "west": {"count": 2, "head": digest_bytes(lines[3])},
    }


def test_a_line_that_is_no_receipt_is_not_counted(tmp_path: Path) -> None:
    path, key = tmp_path / "receipts.jsonl", Ed25519PrivateKey.generate()
    receipts.append(path, {"site": "a"}, key, durable=False)
    with path.open("ab") as file:
        file.write(b"half a li\n")
    found = receipt_heads(path)
    assert found is not None
    assert found["count"] == 1


def test_a_run_without_a_log_has_none(tmp_path: Path) -> None:
    assert receipt_heads(tmp_path / "nothing.jsonl") is None
