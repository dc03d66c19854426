"""Privacy spent, from the site's ledger: by group of patients and by study, and what is left."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from threading import Lock
from typing import Final

from client.dashboard.cells import DASH, Cell, Note, Table, table
from client.dashboard.leaving import study_cell
from client.dashboard.small_cells import shown
from client.ledger import Limit, open_ledger
from client.ledger_files import BOOK
from client.ledger_overview import MOST_ROUNDS, Group, Overview, overview, right_guesses
from client.policy import Policy
from client.site_folder import SiteFolder

_GROUP_HEADER: Final = (
    "Group",
    "Patients",
    "Epsilon spent",
    "Left",
    "More rounds that fit",
    "A guess is right at most",
)
_STUDY_HEADER: Final = ("Group", "Study", "Rounds", "Epsilon if alone")


@dataclass(frozen=True)
class PrivacyPage:
    """The limit in words, and the tables; without any where nothing was counted."""

    limit: str
    tables: tuple[Table, ...]
    notes: tuple[Note, ...]


class LedgerReader:
    """Looks through a site's ledger, once for each state of its book and each limit: epsilon takes its time."""

    def __init__(self, folder: SiteFolder) -> None:
        self._folder = folder
        self._lock = Lock()
        self._known: tuple[tuple[object, ...], Overview] | None = None

    def overview(self, policy: Policy) -> Overview:
        """Return the groups. Raises UserError where the ledger cannot be read."""
        limit = Limit(policy.privacy_epsilon, policy.privacy_delta)
        with self._lock:
            key = (limit, self._stamp())
            if self._known is None or self._known[0] != key:
                self._known = key, overview(*open_ledger(self._folder).read(), limit)
            return self._known[1]

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = (self._folder.ledger / BOOK).stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


def privacy_page(found: Overview, names: Mapping[str, str]) -> PrivacyPage:
    """Return what a page shows. names: of the approved studies, by digest."""
    limit = found.limit
    text = f"All studies together may spend epsilon {limit.epsilon:g} of a patient, at delta {limit.delta:g}."
    if not found.groups:
        return PrivacyPage(text, (), (Note("Nothing was spent: no study was answered here since the ledger is kept."),))
    groups = table("Patients who were in the same answers", _GROUP_HEADER, list(_group_rows(found)))
    studies = table("By study", _STUDY_HEADER, list(_study_rows(found, names)))
    return PrivacyPage(text, (groups, studies), tuple(_notes(found)))


def _group_rows(found: Overview) -> Iterator[list[Cell | str]]:
    for number, group in enumerate(found.groups, start=1):
        name, patients = f"Group {number}", shown(group.patients)
        if not group.studies:
            yield [name, patients, Cell("no bound", tone="warn"), DASH, DASH, DASH]
            continue
        left = max(found.limit.epsilon - group.epsilon, 0.0)
        guess = right_guesses(group.epsilon, found.limit.delta)
        yield [name, patients, _epsilon(group.epsilon), f"{left:.2f}", _more(group), f"{min(guess, 1.0):.1%}"]


def _more(group: Group) -> Cell:
    more = group.rounds_left or 0
    return Cell(f"more than {MOST_ROUNDS}" if more >= MOST_ROUNDS else str(more), tone="" if more else "warn")


def _study_rows(found: Overview, names: Mapping[str, str]) -> Iterator[list[Cell | str]]:
    for number, group in enumerate(found.groups, start=1):
        for part in group.studies:
            yield [f"Group {number}", study_cell(part.study, names), str(part.rounds), _epsilon(part.epsilon)]
        for study in group.unprotected:
            yield [f"Group {number}", study_cell(study, names), DASH, Cell("no bound", tone="warn")]


def _epsilon(value: float) -> str:
    return f"{value:.2f}" if isfinite(value) else "no bound"


def _notes(found: Overview) -> Iterator[Note]:
    if any(group.studies and not group.rounds_left for group in found.groups):
        yield Note("Of some patients too little is left for one more round such as the last.", "warn")
    if any(group.unprotected for group in found.groups):
        yield Note("No bound: a study without a guarantee answered about these patients; epsilon does not count it.")
