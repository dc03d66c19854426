"""What is wrong with a log of receipts: lines changed, missing, moved, repeated, of another key, or never finished.

A log whose END was cut off is sound, only shorter: it cannot be seen here. `common.receipt_match` finds it with the
log of the other side.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Literal

from common import keys
from common.errors import UserError
from common.receipts import MAX_LINE, Receipt, is_signed_by, read_line

ProblemKind = Literal["changed", "missing", "out of order", "duplicate", "another key", "foreign", "torn"]


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong: at which line of the file (from 1), which of the kinds, and in words.

    `torn` alone is no sign of tampering: a writer was killed within a line.
    """

    line: int
    kind: ProblemKind
    what: str


@dataclass(frozen=True)
class Piece:
    """One line of a file, or several together that are no receipts: `size` is their bytes, the last end apart."""

    line: int
    receipt: Receipt | None
    size: int
    is_ended: bool


@dataclass(frozen=True)
class Log:
    """A log as it lies on the disk: the key that should have signed it, and all lines in their order."""

    key: str
    pieces: Sequence[Piece] = field(repr=False)

    @property
    def receipts(self) -> list[Receipt]:
        """Return everything noted in the form of a receipt, line 0 apart."""
        return [piece.receipt for piece in self.pieces if piece.receipt is not None and piece.receipt.seq > 0]


def verify(path: Path, public_key: str) -> list[Problem]:
    """Return what is wrong with the log in `path`, of which every line should be signed by `public_key`; empty is well.

    A log cut off at its END has no problem here (see the module).

    Raises:
        UserError: the file cannot be read, or has no receipt at all; SignatureError: `public_key` is no key.
    """
    return problems(read_log(path, public_key))


def read_log(path: Path, public_key: str | None = None) -> Log:
    """Return the log in `path`, unchecked; without `public_key` its key is the one that its line 0 names.

    Raises:
        UserError: the file cannot be read, has no receipt, or names no key; SignatureError: the key is none.
    """
    pieces = _pieces_of(path)
    if public_key is not None:
        return Log(keys.check_public(public_key), pieces)
    found = next((p.receipt.header_key for p in pieces if p.receipt and p.receipt.header_key), None)
    if found is None:
        raise UserError(f"{path.name} has no line that names the key it is signed with; is its start cut off?")
    return Log(keys.check_public(found), pieces)


def problems(log: Log) -> list[Problem]:
    """Return what is wrong with the lines of a log, in their order."""
    pieces, public_key = log.pieces, log.key
    named, found = _named_key(pieces, public_key), []
    if named is not None:
        line, key = named
        found = [Problem(line, "another key", f"the log is signed by another key: {keys.fingerprint(key)}")]
    signed, changed = _signed(pieces, named[1] if named else public_key)
    claimed = sorted(receipt.seq for _, receipt in changed)
    return sorted([*found, *map(_not_signed, changed), *_set_aside(pieces), *_order(signed, claimed)])


def _named_key(pieces: Sequence[Piece], public_key: str) -> tuple[int, str] | None:
    """Return line and key of a sound line 0 by another key: the others are checked with it, lest all seem changed."""
    for piece in pieces:
        named = piece.receipt.header_key if piece.receipt else None
        if piece.receipt and named not in (None, public_key) and _is_by(piece.receipt, str(named)):
            return piece.line, str(named)
        if named is not None:
            return None
    return None


def _is_by(receipt: Receipt, key: str) -> bool:
    try:
        return is_signed_by(receipt, key)
    except keys.SignatureError:
        return False


def _pieces_of(path: Path) -> list[Piece]:
    try:
        with path.open("rb") as file:
            pieces = list(_together(_lines(file)))
    except OSError as error:
        raise UserError(f"{path.name} cannot be read ({error.strerror})") from None
    if not any(piece.receipt for piece in pieces):
        raise UserError(f"{path.name} holds no receipt; expected a log that a site or a coordinator has signed")
    return pieces


def _lines(file: BinaryIO) -> Iterator[Piece]:
    """Yield the lines; what is longer than any receipt comes in parts."""
    number = 1
    while content := file.readline(MAX_LINE + 1):
        line = content.removesuffix(b"\n")
        yield Piece(number, read_line(line), len(line), is_ended=content.endswith(b"\n"))
        number += content.endswith(b"\n")


def _together(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Join neighbours that are no receipts."""
    held: Piece | None = None
    for piece in pieces:
        if piece.receipt is not None:
            if held is not None:
                yield held
            held = None
            yield piece
        elif held is None:
            held = piece
        else:
            held = Piece(held.line, None, held.size + held.is_ended + piece.size, piece.is_ended)
    if held is not None:
        yield held


_Placed = tuple[int, Receipt]
"""A receipt and the line it stands in."""


def _signed(pieces: Sequence[Piece], public_key: str) -> tuple[list[_Placed], list[_Placed]]:
    """Return the receipts that this key signed, and the others."""
    good: list[_Placed] = []
    bad: list[_Placed] = []
    for piece in pieces:
        if piece.receipt is not None:
            (good if is_signed_by(piece.receipt, public_key) else bad).append((piece.line, piece.receipt))
    return good, bad


def _not_signed(placed: _Placed) -> Problem:
    line, receipt = placed
    return Problem(line, "changed", f"receipt {receipt.seq} was changed, or is signed by another key")


def _set_aside(pieces: Sequence[Piece]) -> Iterator[Problem]:
    """Yield the problems of what is no receipt, and of receipts that say otherwise of what is before them."""
    before: Piece | None = None
    for piece in pieces:
        if piece.receipt is not None:
            yield from _between(before, piece.line, piece.receipt.set_aside)
        before = piece if piece.receipt is None else None
    if before is not None and not before.is_ended:
        yield Problem(before.line, "torn", f"the last line is not finished ({before.size} bytes): its writer stopped")
    elif before is not None:
        yield _foreign(before)


def _between(before: Piece | None, line: int, set_aside: int) -> Iterator[Problem]:
    size = before.size if before else 0
    if before is not None and size == set_aside > 0:
        yield Problem(before.line, "torn", f"{size} bytes that a stopped writer left; the next line says so")
    elif before is not None:
        yield _foreign(before)
    elif set_aside:
        yield Problem(line, "missing", f"the line speaks of {set_aside} unfinished bytes before it, there are none")


def _foreign(piece: Piece) -> Problem:
    return Problem(piece.line, "foreign", f"{piece.size} bytes that are no receipt: changed, or written in")


def _order(signed: Sequence[_Placed], claimed: Sequence[int]) -> Iterator[Problem]:
    """Yield the problems of numbers and links of the receipts that are signed; `claimed` are those of the others."""
    first: dict[int, _Placed] = {}
    highest = -1
    for line, receipt in signed:
        if receipt.seq in first:
            yield _repeated(line, receipt, *first[receipt.seq])
            continue
        first[receipt.seq] = (line, receipt)
        if receipt.seq < highest:
            yield Problem(line, "out of order", f"receipt {receipt.seq} stands after receipt {highest}")
        highest = max(highest, receipt.seq)
    yield from _gaps([first[seq] for seq in sorted(first)], claimed)


def _repeated(line: int, receipt: Receipt, earlier: int, first: Receipt) -> Problem:
    if receipt.digest == first.digest:
        return Problem(line, "duplicate", f"receipt {receipt.seq} stands in line {earlier} already")
    return Problem(line, "duplicate", f"another receipt {receipt.seq} than in line {earlier}: two logs in one")


def _gaps(chain: Sequence[_Placed], claimed: Sequence[int]) -> Iterator[Problem]:
    """Yield what is missing between receipts in the order of their numbers, and links that do not fit."""
    if chain and _is_gap(-1, chain[0][1].seq, claimed):
        yield Problem(chain[0][0], "missing", f"the start is missing: {_numbers(0, chain[0][1].seq - 1)}")
    for (_, left), (line, right) in pairwise(chain):
        if _is_gap(left.seq, right.seq, claimed):
            yield Problem(line, "missing", f"before this line: {_numbers(left.seq + 1, right.seq - 1)}")
        elif right.seq == left.seq + 1 and right.previous != left.digest:
            yield Problem(line, "changed", f"receipt {right.seq} does not continue receipt {left.seq}")


def _is_gap(left: int, right: int, claimed: Sequence[int]) -> bool:
    """Whether a number between is nobody's, not even that of a receipt that was changed."""
    return right - left - 1 > len({seq for seq in claimed if left < seq < right})


def _numbers(first: int, last: int) -> str:
    return f"receipt {first}" if first == last else f"receipts {first} to {last}"
