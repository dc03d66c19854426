"""The privacy ledger of a site: what its answers have spent of each patient, over all studies, data and restarts.

A charge is on the disk before the answer it is for is stored, and the answer is stored before it leaves: `charge`,
then `SiteStore.save`, then `settle`, then out. A crash anywhere in between can count too much, never too little. Asked
again, a charge that is not settled is still the same one, since its answer never left; one that is settled is a new
charge, since an answer may have left that the store has lost.

The unit is a patient, known by the text of his id: who adds rows or patients to a file has no fresh budget for those
who were in it. What this assumes: that studies know the same patient by the same id, that the answers of one round keep
what their `Spending` states, and that nobody puts back an earlier copy of the folder (see `client.sealing`), or removes
it together with the marker beside the storage key; a book that is gone is found otherwise, as is an answer that nobody
charged for.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from client.ledger_files import (
    Book,
    Charge,
    ChargeKey,
    LedgerFiles,
    Unprotected,
    cohort_name,
    pseudonym_key,
    pseudonyms,
)
from client.patient_totals import groups_of, total_epsilon
from client.sealing import Seal, read_storage_key
from client.site_folder import SiteFolder
from common.errors import CheckpointError, RefusedError
from common.locking import exclusive
from common.privacy._accounting import Accountant, Spending

_LOCK = "lock"


@dataclass(frozen=True)
class Limit:
    """The most that answers may spend of one patient. epsilon: above 0, at `delta` in (0, 1)."""

    epsilon: float
    delta: float
    accountant: Accountant = "pld"


@dataclass(frozen=True)
class Ledger:
    """Charges on the disk, under `folder`. `durable` waits for the disk; a simulation need not.

    seal: encrypts every file. pseudonym_key: hides patients' ids; one key for the life of the site. marker: see
    `LedgerFiles`.
    """

    folder: Path
    seal: Seal | None
    pseudonym_key: bytes = field(repr=False)
    durable: bool = True
    marker: Path | None = None

    def charge(
        self, key: ChargeKey, patients: Collection[str], spending: Spending, *, limit: Limit | None = None
    ) -> None:
        """Count what an answer spends of each of these patients; it is on the disk when this returns.

        Counts nothing new where the same charge, of the same patients, is there and not settled.

        Raises:
            RefusedError: a patient would have spent more than the limit; nothing is counted.
            CheckpointError: the ledger is damaged, or part of it is gone; nothing may leave.
        """
        members = pseudonyms(patients, self.pseudonym_key)
        new = Charge(key=key, cohort=cohort_name(members), spending=spending)
        with self._locked() as files:
            book = files.read()
            is_new = new not in book.charges
            if limit is not None:
                _check(self._largest(book, members, [spending] if is_new else [], limit), limit)
            if is_new:
                files.add_cohort(members)
                files.write(book.model_copy(update={"charges": (*book.charges, new)}))

    def settle(self, key: ChargeKey) -> None:
        """Note that the answer is stored and may leave; once more changes nothing.

        Raises:
            CheckpointError: nothing was charged for it, so that it must not leave; or the ledger is damaged.
        """
        with self._locked() as files:
            book = files.read()
            if not any(each.key == key for each in book.charges):
                raise CheckpointError(
                    f"the privacy ledger has no charge for round {key.round} ({key.kind}) of run {key.run!r}, whose "
                    "answer is stored: one of the two is an older copy; put back the newest copy of both"
                )
            settled = tuple(_settled(each) if each.key == key else each for each in book.charges)
            if settled != book.charges:
                files.write(book.model_copy(update={"charges": settled}))

    def note_unprotected(self, study: str, patients: Collection[str]) -> None:
        """Note that a study (its digest) without a guarantee answers about these patients; once more changes nothing.

        It spends nothing that could be counted: what it tells of them has no bound.
        """
        members = pseudonyms(patients, self.pseudonym_key)
        new = Unprotected(study=study, cohort=cohort_name(members))
        with self._locked() as files:
            book = files.read()
            if new not in book.unprotected:
                files.add_cohort(members)
                files.write(book.model_copy(update={"unprotected": (*book.unprotected, new)}))

    def spent(self, patients: Collection[str], *, delta: float, accountant: Accountant = "pld") -> float:
        """Return the largest epsilon that was spent of one of these patients, with a guarantee; 0 where nothing was."""
        return self.would_be(patients, [], delta=delta, accountant=accountant)

    def would_be(
        self,
        patients: Collection[str],
        spendings: Sequence[Spending],
        *,
        delta: float,
        accountant: Accountant = "pld",
    ) -> float:
        """Return what `spent` would be after these spendings of all these patients."""
        members = pseudonyms(patients, self.pseudonym_key)
        return self._largest(self._files.read(), members, spendings, Limit(0.0, delta, accountant))

    def read(self) -> tuple[Book, Mapping[str, frozenset[str]]]:
        """Return all charges, and the members of each cohort they name. Raises CheckpointError."""
        book = self._files.read()
        named = {each.cohort for each in book.charges} | {each.cohort for each in book.unprotected}
        return book, self._cohorts(named)

    @property
    def _files(self) -> LedgerFiles:
        return LedgerFiles(self.folder, self.seal, self.durable, self.marker)

    @contextmanager
    def _locked(self) -> Iterator[LedgerFiles]:
        """Read and write as the only one: two processes would each lose what the other has counted."""
        self._files.make_folder()
        with exclusive(self.folder / _LOCK):
            yield self._files

    def _cohorts(self, names: Collection[str]) -> dict[str, frozenset[str]]:
        return {name: self._files.cohort(name) for name in names}

    def _largest(self, book: Book, members: frozenset[str], spendings: Sequence[Spending], at: Limit) -> float:
        groups = groups_of(members, self._cohorts({each.cohort for each in book.charges}))
        charged = ([each.spending for each in book.charges if each.cohort in group] for group in groups)
        totals = (total_epsilon([*each, *spendings], delta=at.delta, accountant=at.accountant) for each in charged)
        return max(totals, default=0.0)


def _settled(charge: Charge) -> Charge:
    return charge.model_copy(update={"settled": True})


def _check(epsilon: float, limit: Limit) -> None:
    if not epsilon <= limit.epsilon:
        raise RefusedError("PRIVACY_BUDGET_SPENT")


def open_ledger(folder: SiteFolder) -> Ledger:
    """Return the ledger of a real site. Raises UserError: its storage key cannot be read."""
    key = read_storage_key(folder.storage_key)
    marker = folder.storage_key.with_name("ledger.begun")
    return Ledger(folder.ledger, Seal(key), pseudonym_key(key), marker=marker)
