"""Two logs side by side: what a site says it let out, and what the server says arrived from it.

Neither side can leave out, add or change a line without the other's log showing it; only both together could. Compared
are the runs that the server's log speaks of: the server keeps one log per run, a site one for all.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any, Literal, TypeVar  # JSON values

from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import UserError

DifferenceKind = Literal["not at the server", "not read by the server", "changed", "not at the site"]
_SHOWN = len("sha256:") + 12


class _Entry(BaseModel):
    """What both sides note of a payload; each notes more."""

    model_config = ConfigDict(frozen=True, strict=True)
    site: str
    study: str
    run: str
    round: int
    kind: str
    digest: str | None


class _SiteEntry(_Entry):
    decision: Literal["released", "repeated", "refused"]


class _ServerEntry(_Entry):
    status: str


@dataclass(frozen=True, order=True)
class Question:
    """What a payload answers."""

    study: str
    run: str
    round: int
    kind: str


@dataclass(frozen=True)
class Difference:
    """One question on which the two sides do not agree, and in words how."""

    question: Question
    kind: DifferenceKind
    what: str


@dataclass(frozen=True)
class Matching:
    """What a comparison of one site's journal found.

    agreed: payloads that both sides have. elsewhere: payloads of runs that the server's log does not speak of.
    """

    site: str
    differences: tuple[Difference, ...]
    agreed: int
    elsewhere: int


_Payloads = Mapping[Question, Set[str]]
"""The digests of the payloads that answer each question."""
E = TypeVar("E", bound=_Entry)


def match(site_log: Iterable[Mapping[str, Any]], server_log: Iterable[Mapping[str, Any]]) -> Matching:
    """Compare the entries of a site's journal with those of the server's log.

    A payload that left several times is one. Refusals carry no payload and are not compared.

    Raises:
        UserError: an entry is of another kind of log; the journal is of no site or of several; no run is in both.
    """
    left, arrived = _read(site_log, _SiteEntry, "a site"), _read(server_log, _ServerEntry, "a coordinator")
    site = _only_site(left)
    sent = _payloads(entry for entry in left if entry.decision != "refused")
    runs = {(entry.study, entry.run) for entry in arrived}
    here = {q: digests for q, digests in sent.items() if (q.study, q.run) in runs}
    if left and not runs & {(entry.study, entry.run) for entry in left}:
        raise UserError(f"the two logs have no run in common: is the server's log that of a run which {site!r} was in?")
    there = _payloads(entry for entry in arrived if entry.site == site)
    unread = {_question(entry) for entry in arrived if entry.site == site and entry.digest is None}
    return Matching(
        site=site,
        differences=tuple(_differences(here, there, unread)),
        agreed=sum(len(digests & there.get(q, set())) for q, digests in here.items()),
        elsewhere=sum(len(digests) for q, digests in sent.items() if q not in here),
    )


def _read(entries: Iterable[Mapping[str, Any]], kind: type[E], owner: str) -> list[E]:
    try:
        return [kind.model_validate(dict(entry)) for entry in entries]
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise UserError(
            f"{where!r} of a receipt is not what the log of {owner} has; are the two files given in the right order?"
        ) from None


def _only_site(left: Iterable[_Entry]) -> str:
    names = sorted({entry.site for entry in left})
    if len(names) != 1:
        raise UserError(f"the site's log is of {len(names)} sites; expected the journal of one, with entries")
    return names[0]


def _question(entry: _Entry) -> Question:
    return Question(entry.study, entry.run, entry.round, entry.kind)


def _payloads(entries: Iterable[_Entry]) -> _Payloads:
    found: dict[Question, set[str]] = {}
    for entry in entries:
        if entry.digest is not None:
            found.setdefault(_question(entry), set()).add(entry.digest)
    return found


def _differences(here: _Payloads, there: _Payloads, unread: Set[Question]) -> Iterator[Difference]:
    for question in sorted({*here, *there}):
        sent, arrived = here.get(question, set()), there.get(question, set())
        lost, strange = _short(sent - arrived), _short(arrived - sent)
        if lost and strange:
            yield Difference(question, "changed", f"the site let out {lost}, the server noted {strange}")
        elif lost and question in unread:
            yield Difference(question, "not read by the server", f"the server could not read what came for {lost}")
        elif lost:
            yield Difference(question, "not at the server", f"{lost}: left out, come too late, or lost on the way")
        elif strange:
            yield Difference(question, "not at the site", f"the server noted {strange}, which the site never let out")


def _short(digests: Set[str]) -> str:
    return ", ".join(digest[:_SHOWN] for digest in sorted(digests))
