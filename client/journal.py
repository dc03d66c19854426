"""The journal: one JSON line for everything that the gate let through or refused. Append only; never any content.

At a real site each line is a receipt, signed and chained (`common.receipts`); a simulation, where nobody has to be
convinced, writes plain lines.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common import receipts
from common.files import append_json_line
from common.preflight import ReceiptKind

Decision = Literal["released", "repeated", "refused"]
"""repeated: the bytes of an earlier answer left once more."""


@dataclass(frozen=True)
class Entry:
    """What left or was refused: which study, run and round, how many tensors, bytes and examples, and one digest.

    kind: `preflight` is what was said before round 1, as one of round 0. metrics: "split name" each, and
    "test cohort", "test subgroups", "test recalibration" where these left. histograms: the
    splits whose score histograms left. policy: digest of the policy that let it out; None before one was asked.
    """

    decision: Decision
    site: str
    study: str
    run: str
    round: int
    kind: ReceiptKind
    reason: str | None
    tensors: int
    size_bytes: int
    digest: str | None
    metrics: Sequence[str]
    histograms: Sequence[str]
    examples: int | None
    policy: str | None = None


@dataclass(frozen=True)
class Journal:
    """An append-only JSONL file; a line is on disk when `append` returns if `durable`. With a `key` it is signed."""

    path: Path
    durable: bool = True
    key: Ed25519PrivateKey | None = field(default=None, repr=False)

    def append(self, entry: Entry) -> None:
        """Write one line with the time in UTC; a log that cannot be continued is a UserError, and nothing may leave."""
        if self.key is not None:
            receipts.append(self.path, asdict(entry), self.key, durable=self.durable)
            return
        append_json_line(self.path, vars(entry), durable=self.durable, mode=0o600)
