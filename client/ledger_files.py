"""The privacy ledger's files: the book of all charges, and each cohort of patients in a file of its own.

With a seal each file is encrypted under its own name. Patients are pseudonyms: HMAC-SHA256 (RFC 2104, 1997) of their
id, 16 bytes of it, under a key that is derived from the site's storage key. A cohort is written once, before the first
charge of it, and never removed; an empty book is written before the first cohort. So where there are cohorts, a missing
book is no new ledger but a loss.
"""

import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from client.sealing import Seal
from common.errors import CheckpointError, UserError
from common.files import canonical_json, sync, write_bytes
from common.privacy._accounting import Spending
from common.protocol import Kind

BOOK: Final = "charges"
COHORT: Final = "cohort-"
_LABEL: Final = "fedpeft privacy ledger 1"
_MEND: Final = (
    "until then nothing leaves that has to be counted: put back the newest copy of the ledger's folder, never an "
    "older one, which would count too little"
)


@dataclass(frozen=True)
class ChargeKey:
    """What one charge is for: the answer to one request. study, request: digests."""

    study: str
    run: str
    round: int
    kind: Kind
    request: str


_STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Charge(BaseModel):
    """What one answer spends of each patient of a cohort. settled: the answer is stored, and may have left."""

    model_config = _STRICT
    key: ChargeKey
    cohort: str
    spending: Spending
    settled: bool = False


class Unprotected(BaseModel):
    """A study (its digest) that answered about a cohort without a guarantee."""

    model_config = _STRICT
    study: str
    cohort: str


class Book(BaseModel):
    """All that was ever charged, in the order of time; nothing is taken back."""

    model_config = _STRICT
    format: Literal[1] = 1
    charges: tuple[Charge, ...] = ()
    unprotected: tuple[Unprotected, ...] = ()


_COHORTS = TypeAdapter(tuple[str, ...])


def pseudonym_key(storage_key: bytes) -> bytes:
    """Return the key of a site's pseudonyms (HKDF, RFC 5869, 2010): what is under it says nothing of the other."""
    return HKDF(SHA256(), length=32, salt=None, info=f"{_LABEL} pseudonyms".encode()).derive(storage_key)


def pseudonyms(patients: Collection[str], key: bytes) -> frozenset[str]:
    """Return the pseudonym of each patient, 32 hex digits; who lacks the key cannot tell whose it is.

    >>> sorted(pseudonyms(["7", "7"], b"key"))
    ['01235b0d2aa4a5daba7243a9228194c8']
    """
    return frozenset(hmac.digest(key, patient.encode(), "sha256")[:16].hex() for patient in set(patients))


@dataclass(frozen=True)
class LedgerFiles:
    """Book and cohorts under `folder`. `durable` waits for the disk. The folder may move and be renamed.

    marker: a file in another place that says that there is a book, so that who removes the folder begins no new one.
    """

    folder: Path
    seal: Seal | None
    durable: bool = True
    marker: Path | None = None

    def read(self) -> Book:
        """Return the book, an empty one where nothing was ever charged. Raises CheckpointError: lost or damaged."""
        if not (self.folder / BOOK).exists():
            if any(self.folder.glob(f"{COHORT}*")):
                raise CheckpointError(f"the privacy ledger's file {BOOK} is gone, and its cohorts are there; {_MEND}")
            if self.marker is not None and self.marker.exists():
                raise CheckpointError(f"the privacy ledger is gone, and {self.marker.name} says it was begun; {_MEND}")
            return Book()
        content = self._load(BOOK)
        try:
            return Book.model_validate_json(content)
        except (ValidationError, UserError):  # the latter says what is wrong with a spending
            raise _damaged(BOOK) from None

    def write(self, book: Book) -> None:
        """Write the book; it is on the disk when this returns."""
        self._save(BOOK, canonical_json(book.model_dump(mode="json")))
        if self.marker is not None and not self.marker.exists():
            write_bytes(self.marker, b"", durable=self.durable, mode=0o600)

    def cohort(self, name: str) -> frozenset[str]:
        """Return the pseudonyms of a cohort. Raises CheckpointError: lost or damaged."""
        try:
            members = _COHORTS.validate_json(self._load(COHORT + name))
        except ValidationError:
            raise _damaged(COHORT + name) from None
        if cohort_name(members) != name:
            raise _damaged(COHORT + name)
        return frozenset(members)

    def add_cohort(self, members: Collection[str]) -> str:
        """Write a cohort, if it is new, and return its name."""
        name = cohort_name(members)
        if not (self.folder / (COHORT + name)).exists():
            if not (self.folder / BOOK).exists():
                self.write(Book())
            self._save(COHORT + name, canonical_json(sorted(members)))
        return name

    def make_folder(self) -> None:
        """Make the folder, for its owner only; its name is on the disk when this returns."""
        if not self.folder.is_dir():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.durable:
                sync(self.folder)

    def _save(self, file: str, content: bytes) -> None:
        sealed = content if self.seal is None else self.seal.close(content, name=f"{_LABEL}/{file}")
        write_bytes(self.folder / file, sealed, durable=self.durable, mode=0o600)

    def _load(self, file: str) -> bytes:
        try:
            content = (self.folder / file).read_bytes()
            return content if self.seal is None else self.seal.open(content, name=f"{_LABEL}/{file}")
        except OSError as error:
            reason = f"the privacy ledger's file {file} cannot be read ({type(error).__name__})"
            raise CheckpointError(f"{reason}; {_MEND}") from None
        except CheckpointError as error:
            raise CheckpointError(f"the privacy ledger: {error}; {_MEND}") from None


def cohort_name(members: Collection[str]) -> str:
    """Return the name of a cohort: 32 hex digits of the digest of its pseudonyms."""
    return hashlib.sha256(canonical_json(sorted(members))).hexdigest()[:32]


def _damaged(file: str) -> CheckpointError:
    return CheckpointError(
        f"the privacy ledger's file {file} is damaged: it is not of the form it was written in; {_MEND}"
    )
