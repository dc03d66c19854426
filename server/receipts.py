"""The coordinator's side of the receipts: one signed, chained line for every reply that was judged.

A site's journal says what left; this log says what arrived and what became of it. `fedpeft journal match` lays them
side by side.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common import receipts
from common.answers import payload_digest
from common.preflight import ReceiptKind
from common.protocol import Answer
from server.events import Status


@dataclass(frozen=True)
class Judged:
    """What became of one reply, or of an answer before round 1, of round 0.

    digest: of what it carried; None where it carried nothing or could not be read.
    """

    site: str
    study: str
    run: str
    round: int
    kind: ReceiptKind
    status: Status
    reason: str | None
    digest: str | None
    size_bytes: int


@dataclass(frozen=True)
class Receipts:
    """An append-only log; a line is on disk when `append` returns if `durable`."""

    path: Path
    key: Ed25519PrivateKey = field(repr=False)
    durable: bool = True

    def append(self, judged: Judged) -> None:
        """Write one receipt with the time in UTC; a log that cannot be continued is a UserError."""
        receipts.append(self.path, asdict(judged), self.key, durable=self.durable)


def digest_of(answer: Answer | None) -> str | None:
    """Return the digest of what a reply carried; None where nothing could be read, or nothing was there.

    A reply may have texts that no honest site writes and that have no digest: it counts as not read.
    """
    try:
        return None if answer is None else payload_digest(answer)
    except ValueError:
        return None
