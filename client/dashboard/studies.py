"""The approved studies: what each does in plain words, when and under which policy it was agreed to, what it used."""

from collections.abc import Iterator
from dataclasses import dataclass

from client.approval import Approved, Signed, Stamp, approvals
from client.budget import FILE as SPENT
from client.budget import Budget
from client.dashboard.cells import Note, clock, count
from client.dashboard.chain import said
from client.explain import words_of
from client.policy import Policy, objections
from client.site_folder import SiteFolder, short
from common.errors import UserError
from common.keys import fingerprint

_TERM = 14
"""Columns of a line's first word in `client.explain`."""
_IN_FACTS = frozenset({"digests", "signed by"})


@dataclass(frozen=True)
class Used:
    """Bytes that were counted in answer to a study, and the most that the policy allows."""

    spent: int
    limit: int


@dataclass(frozen=True)
class StudyCard:
    """One approved study. words: (term, text) each. used: None where the count cannot be read, and a note says so."""

    name: str
    bundle: str
    facts: tuple[tuple[str, str], ...]
    used: Used | None
    notes: tuple[Note, ...]
    words: tuple[tuple[str, str], ...]


class Bundles:
    """Reads approved bundles, each once while its files stay the same."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Stamp, Signed]] = {}

    def read(self, approved: Approved) -> Signed:
        """Return the bundle as it was approved. Raises UserError."""
        stamp, digest = approved.stamp(), approved.approval.bundle
        known = self._known.get(digest)
        if known is None or known[0] != stamp or not stamp:
            known = self._known[digest] = stamp, approved.read()
        return known[1]


def study_names(folder: SiteFolder) -> dict[str, str]:
    """Return the names of approved studies by digest; none where approvals cannot be read."""
    try:
        return {each.approval.study: each.approval.name for each in approvals(folder)}
    except UserError:
        return {}


def study_cards(folder: SiteFolder, site: str, policy: Policy | None, bundles: Bundles) -> Iterator[StudyCard]:
    """Yield the approved studies, the newest first. policy: None where it cannot be read. Raises UserError."""
    for each in reversed(approvals(folder)):
        yield _card(folder, each, site, policy, bundles)


def _card(folder: SiteFolder, approved: Approved, site: str, policy: Policy | None, bundles: Bundles) -> StudyCard:
    agreed, notes = approved.approval, list(_policy_notes(approved, policy))
    used, words = None, tuple[str, ...]()
    try:
        signed = bundles.read(approved)
        if policy is not None:
            words = words_of(signed, policy, site)
            found = objections(policy, signed.bundle, site=site, coordinator=signed.coordinator)
            notes += [Note(f"Refused as things are: {text}", "bad") for text in found]
    except (UserError, OSError) as error:
        notes.append(Note(f"Nothing leaves for it: {said(error)}", "bad"))
    try:
        spent = Budget(folder.study_state(agreed.bundle) / SPENT).spent()
        used = None if policy is None else Used(spent, policy.max_study_bytes)
    except UserError as error:
        notes.append(Note(said(error), "bad"))
    return StudyCard(
        agreed.name, short(agreed.bundle), tuple(_facts(approved)), used, tuple(notes), tuple(terms(words))
    )


def _facts(approved: Approved) -> Iterator[tuple[str, str]]:
    agreed = approved.approval
    yield "Approved", f"{clock(agreed.time)} UTC"
    yield "Study digest", agreed.study
    yield "Bundle digest", agreed.bundle
    yield "Signed by", fingerprint(agreed.coordinator)
    yield "Policy when approved", agreed.policy


def _policy_notes(approved: Approved, policy: Policy | None) -> Iterator[Note]:
    if policy is not None and policy.digest != approved.approval.policy:
        yield Note("The policy has changed since this was approved; the one in force now counts.", "warn")


def terms(lines: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield term and text of lines whose term stands in the first columns; a line without one goes on.

    >>> list(terms(("leaves        2 tensors:", "              a [3]", "privacy       none")))
    [('leaves', '2 tensors:\\na [3]'), ('privacy', 'none')]
    """
    term, texts = "", list[str]()
    for line in lines:
        first, text = line[:_TERM].strip(), line[_TERM:]
        if first and texts:
            yield term, "\n".join(texts)
            texts = []
        term = first or term
        texts.append(text)
    if texts:
        yield term, "\n".join(texts)


def used_text(used: Used | None) -> str:
    """Return bytes used of the budget in words."""
    if used is None:
        return "not known"
    return f"{count(used.spent)} of {count(used.limit)} bytes ({used.spent / used.limit:.1%})"
