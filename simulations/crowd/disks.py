"""What virtual sites have for disks: a folder each, where people look into, or all one, where they are thousands."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

from client.gate import EntryLog
from client.journal import Journal
from client.step_log import StepLog
from client.store import SiteStore, Store
from common.bundle import Bundle
from common.compressing import compression_of
from common.metrics.measure import Measure
from simulations.crowd.journal import CrowdJournal
from simulations.crowd.shelf import Shelf
from simulations.crowd.store import CrowdStore
from simulations.folder import RunFolder

MANY: Final = 200
"""Sites from which on they are a crowd: a client of one costs some milliseconds for its files alone."""


class Disks(Protocol):
    """Where the sites of a run write."""

    def store(self, site: str) -> Store:
        """Return where a site's answers are."""
        ...

    def journal(self, site: str) -> EntryLog:
        """Return where it is written what left a site."""
        ...

    def step_log(self, site: str) -> StepLog | None:
        """Return where a site's training steps are written; None: nowhere."""
        ...

    def look(self) -> None:
        """See what other processes of the run have written."""
        ...


@dataclass(frozen=True)
class OwnFolders:
    """A folder for each site."""

    folder: RunFolder
    measure: Measure

    def store(self, site: str) -> SiteStore:
        """Return where a site's answers are."""
        return SiteStore(self.folder.sites / site, measure=self.measure, durable=False)

    def journal(self, site: str) -> Journal:
        """Return a site's journal."""
        return Journal(self.folder.sites / site / "journal.jsonl", durable=False)

    def step_log(self, site: str) -> StepLog:
        """Return where a site's training steps are written."""
        return StepLog(self.folder.sites / site / "steps.jsonl")

    def look(self) -> None:
        """Do nothing: files are looked for when they are wanted."""


@dataclass(frozen=True)
class CrowdDisks:
    """One disk for all sites; nobody looks at ten thousand sites' single steps, so those are not written."""

    folder: RunFolder
    measure: Measure

    @cached_property
    def _shelf(self) -> Shelf:
        return Shelf(self.folder.crowd)

    @cached_property
    def _journal(self) -> CrowdJournal:
        return CrowdJournal(self._shelf)

    def store(self, site: str) -> CrowdStore:
        """Return a site's part of the records."""
        return CrowdStore(self._shelf, site, self.measure)

    def journal(self, site: str) -> CrowdJournal:  # noqa: ARG002 # the seam's: an entry has its site's name
        """Return the journal of all."""
        return self._journal

    def step_log(self, site: str) -> None:  # noqa: ARG002 # the seam's
        """Return None."""
        return

    def look(self) -> None:
        """See what other processes of the run have written."""
        self._shelf.look()


def is_crowd(bundle: Bundle) -> bool:
    """Whether the sites of a study share a disk: many, of whom none remembers more of a round than its answer."""
    study = bundle.study
    remembers = bundle.schema.private.tensors or compression_of(study.compression).keeps_error
    return len(study.federation.sites) >= MANY and not remembers
