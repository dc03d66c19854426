"""Receipts: a log whose lines are signed (Ed25519) and chained, so that nothing in it can be changed without showing.

A line is one JSON object: `time`, `seq`, what is noted, `previous` (the digest of the line before, signature included)
and `signature`, over all of the line before it. Line 0 names the public key; receipts count from 1. `common.
receipt_check` says what is wrong with a log.

What this proves, and what not: who has the key can write a whole new log, and who cuts off the END of a log leaves one
that is sound, only shorter. One file alone cannot show either; the other side's log can: `fedpeft journal match`.
"""

import base64
import binascii
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeGuard  # JSON values

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common import keys, strict_json
from common.errors import SchemaError, UserError
from common.files import digest_bytes, write_whole

FORMAT: Final = "fedpeft receipts 1"
MAX_LINE: Final = 1 << 20
"""Longest line, in bytes."""
OWN_NAMES: Final = frozenset({"time", "seq", "previous", "signature", "set_aside"})
"""What the log itself puts into a line; an entry has none of these."""
_TAIL: Final = 1 << 14


@dataclass(frozen=True)
class Receipt:
    """One line that has the form of a receipt. Whether it is signed is for `is_signed_by`.

    set_aside: bytes before this line that its writer found to be no receipt: what a killed writer left unfinished.
    digest: of the whole line.
    """

    seq: int
    previous: str
    content: Mapping[str, Any]
    signature: str
    digest: str
    set_aside: int = 0

    @property
    def entry(self) -> dict[str, Any]:
        """What was noted, without what the log put around it."""
        return {name: value for name, value in self.content.items() if name not in OWN_NAMES}

    @property
    def header_key(self) -> str | None:
        """The public key that line 0 names, None for any other line."""
        key = self.content.get("key")
        return key if self.seq == 0 and self.content.get("log") == FORMAT and isinstance(key, str) else None


def link(entry: Mapping[str, Any], *, time: str, seq: int, previous: str, set_aside: int = 0) -> dict[str, Any]:
    """Return the line of an entry, not yet signed."""
    if OWN_NAMES & set(entry):
        raise ValueError(f"an entry of a log has no {sorted(OWN_NAMES & set(entry))[0]!r} of its own")
    aside = {"set_aside": set_aside} if set_aside else {}
    return {"time": time, "seq": seq, **entry, **aside, "previous": previous}


def signed_line(content: Mapping[str, Any], key: Ed25519PrivateKey) -> bytes:
    """Return the signed line, without its end; one longer than MAX_LINE is a ValueError."""
    line = _text({**content, "signature": keys.sign(key, _signed_bytes(content))})
    if len(line) > MAX_LINE:
        raise ValueError(f"a receipt of {len(line)} bytes; at most {MAX_LINE} are allowed")
    return line


def read_line(line: bytes) -> Receipt | None:
    """Return the receipt that is in `line`, None where the line is not, byte for byte, one that was written here."""
    try:
        content = strict_json.parse(line.decode(), limit=MAX_LINE)
        if not isinstance(content, dict) or _text(content) != line or list(content)[-1:] != ["signature"]:
            return None
    except (SchemaError, UnicodeDecodeError, RecursionError):
        return None
    signature = content.pop("signature")
    seq, previous, aside = content.get("seq"), content.get("previous"), content.get("set_aside", 0)
    if not (_is_count(seq) and _is_count(aside) and isinstance(previous, str) and isinstance(signature, str)):
        return None
    return Receipt(seq, previous, content, signature, digest_bytes(line), aside)


def is_signed_by(receipt: Receipt, public: str) -> bool:
    """Whether the receipt is as the owner of the key signed it; a text that is no key is a SignatureError."""
    keys.check_public(public)
    try:
        # Base64 has several texts for some bytes; only one is what was written.
        if base64.b64encode(base64.b64decode(receipt.signature, validate=True)).decode() != receipt.signature:
            return False
        keys.verify(public, _signed_bytes(receipt.content), receipt.signature)
    except (keys.SignatureError, binascii.Error, ValueError):
        return False
    return True


def append(
    path: Path, entry: Mapping[str, Any], key: Ed25519PrivateKey, *, durable: bool = True, mode: int = 0o600
) -> None:
    """Add one receipt, and line 0 to a new log. The line is with the system when this returns, on disk if `durable`.

    A line that a killed writer left unfinished is ended, set aside and counted in the new line, under its signature: so
    it can be told from what somebody wrote in later. Several processes may append to one log: each waits for its turn.

    Raises:
        UserError: the file has lines, but the last receipt is not of this key, or there is none. Nothing is written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path, mode) as file:
        last, aside, is_ended = _tail(file, path.name)
        if last is not None and not is_signed_by(last, keys.public_text(key)):
            raise UserError(
                f"the last receipt in {path.name} is not signed by the key {keys.fingerprint(keys.public_text(key))}; "
                "a new key begins a new log: move this one away and keep it"
            )
        write_whole(file, (b"" if is_ended else b"\n") + _next_lines(entry, key, last, aside))
        if durable:
            os.fsync(file)


def _next_lines(entry: Mapping[str, Any], key: Ed25519PrivateKey, last: Receipt | None, aside: int) -> bytes:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    lines = b""
    if last is None:
        head = {"log": FORMAT, "key": keys.public_text(key)}
        line = signed_line(link(head, time=now, seq=0, previous="", set_aside=aside), key)
        lines, seq, previous, aside = line + b"\n", 1, digest_bytes(line), 0
    else:
        seq, previous = last.seq + 1, last.digest
    return lines + signed_line(link(entry, time=now, seq=seq, previous=previous, set_aside=aside), key) + b"\n"


@contextmanager
def _locked(path: Path, mode: int) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, mode)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)  # and with it the lock


def _tail(file: int, name: str) -> tuple[Receipt | None, int, bool]:
    """Return the last receipt, how many bytes after it are none, and whether the file ends with a line's end.

    Only as much of the end is read as this takes. Lines without any receipt among them are another kind of file.
    """
    size = os.fstat(file).st_size
    length = min(size, _TAIL)
    while True:
        content = os.pread(file, length, size - length)
        is_ended = not content or content.endswith(b"\n")
        found, after = _last_receipt(content)
        if found is not None or (length == size and b"\n" not in content):
            return found, after, is_ended
        if length == size:
            raise UserError(f"{name} has lines, none of them a receipt; a signed log begins a new file: move it away")
        length = min(size, 4 * length)


def _last_receipt(content: bytes) -> tuple[Receipt | None, int]:
    """Return the last receipt in the end of a file, and the number of bytes after its line, a last line end apart.

    The first line may lack its beginning: then it is no JSON, and so no receipt.
    """
    lines = content.removesuffix(b"\n").split(b"\n")
    after = 0
    for line in reversed(lines):
        receipt = read_line(line)
        if receipt is not None:
            return receipt, max(after - 1, 0)
        after += len(line) + 1
    return None, max(after - 1, 0)


def _signed_bytes(content: Mapping[str, Any]) -> bytes:
    return b"fedpeft receipt\n" + _text(content)


def _text(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, allow_nan=False).encode()


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
