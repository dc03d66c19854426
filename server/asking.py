"""One question to a cohort: send it, take in what comes back, ask again below the quorum."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from common import wire
from common.protocol import Request
from common.rank_slices import sliced
from common.state import AdapterSchema
from server.events import RoundStarted, SiteAnswered, SitesAwaited
from server.job import ServerJob
from server.judging import judge, note_late
from server.patience import AT_EARLIER_ROUND, NOT_CONNECTED, Patience, awaited, is_unasked
from server.quorum import needed_replies
from server.roster import Roster, connected, refreshed
from server.session import Question, Results, Session, SiteResult, accepted

LOG = logging.getLogger("fedpeft.server")
ATTEMPTS: Final = 3
LOST_AFTER: Final = 2.0
"""Deadlines after which a message without an answer counts as lost, and its site as free again."""
_LOOK_AGAIN_S: Final = 2.0


def ask(session: Session, question: Question) -> Results:
    """Ask every site of the cohort; ask those without an accepted reply again, twice, while the quorum is not met.

    Sites answer the same question with the same bytes, so that asking again costs them nothing. Asked again are also
    those that have not answered, whose message may be lost; an answer late for one attempt counts in the next. Within
    an attempt a site that is away or busy is asked as soon as it is there: see `server.patience`. Without a deadline
    (in process) an absent site is absent at once.
    """
    job, clock = session.job, session.exchange.clock
    session.record(RoundStarted(question.round, job.rounds, question.kind, tuple(question.plans)))
    patience = None if job.deadline_s is None else Patience(clock.now(), job.deadline_s)
    results: Results = {}
    for attempt in range(ATTEMPTS):
        if attempt and patience is not None:
            clock.wait(patience.pause_s)
        results = _attempt(session, question, results, patience)
        if _has_quorum(session, question, results):
            break
    return results


def _has_quorum(session: Session, question: Question, results: Results) -> bool:
    return len(accepted(results)) >= needed_replies(session.job.quorum, len(question.plans))


def _attempt(session: Session, question: Question, before: Results, patience: Patience | None) -> Results:
    _take_late(session, question)
    roster = refreshed(session.exchange, session.roster, session.job.sites)
    results = _send_all(session, question, before, question.plans, roster)
    if patience is None:
        _collect(session, question, results, None)
        return results
    clock, told = session.exchange.clock, False
    end, again = clock.now() + patience.deadline_s, clock.now() + patience.pause_s
    while (left := end - clock.now()) > 0:
        if session.exchange.waiting(question.round):
            _collect(session, question, results, min(left, _LOOK_AGAIN_S))
        elif (patient_s := _patient_s(session, question, results, patience)) > 0:
            told = told or _tell_awaited(session, question, results, patient_s)
            clock.wait(min(left, patient_s, _LOOK_AGAIN_S))
        else:
            break
        is_time = clock.now() >= again
        results = _ask_again(session, question, results, with_failed=is_time)
        again = clock.now() + patience.pause_s if is_time else again
    return results


def _patient_s(session: Session, question: Question, results: Results, patience: Patience) -> float:
    """Return the seconds for which to wait though nobody is at work; 0 or less where nobody is waited for."""
    has_quorum = _has_quorum(session, question, results)
    if not awaited(results, has_quorum=has_quorum):
        return 0.0
    return patience.end(has_quorum=has_quorum) - session.exchange.clock.now()


def _tell_awaited(session: Session, question: Question, results: Results, patient_s: float) -> bool:
    """Say who is waited for, why, and until when; return True."""
    has_quorum = _has_quorum(session, question, results)
    reasons = {site: results[site].reason or "" for site in awaited(results, has_quorum=has_quorum)}
    until = (session.exchange.clock.date() + timedelta(seconds=patient_s)).isoformat(timespec="seconds")
    session.record(SitesAwaited(question.round, reasons, until))
    named = ", ".join(f"{site} ({reason})" for site, reason in reasons.items())
    LOG.info("round %d: waiting for %s until %s at the latest", question.round, named, until)
    return True


def _ask_again(
    session: Session, question: Question, results: dict[str, SiteResult], *, with_failed: bool
) -> dict[str, SiteResult]:
    """Ask those sites that are there now and were not, and, `with_failed`, those whose failure may be over."""
    has_quorum = _has_quorum(session, question, results)
    wanted = [s for s in awaited(results, has_quorum=has_quorum) if with_failed or is_unasked(results[s])]
    if not wanted:
        return results
    _take_late(session, question)
    roster = connected(session.exchange, session.roster, session.job.sites)
    ready = [site for site in wanted if site in roster and site not in _busy(session, question)]
    return _send_all(session, question, results, ready, roster) if ready else results


def _busy(session: Session, question: Question) -> frozenset[str]:
    """Return the sites at work for an earlier round."""
    exchange = session.exchange
    return exchange.waiting(since_s=_lost_after_s(session.job)) - exchange.waiting(question.round)


def _collect(session: Session, question: Question, results: dict[str, SiteResult], deadline_s: float | None) -> None:
    for arrival in session.exchange.collect(question.round, deadline_s):
        result = judge(session, question, arrival)
        results[arrival.site] = _added(results[arrival.site], result)
        _tell(session, question, arrival.site, result, arrival.seconds)
        del arrival  # the next may be minutes away


def _send_all(
    session: Session, question: Question, before: Results, sites: Collection[str], roster: Roster
) -> dict[str, SiteResult]:
    """Send the question to those of `sites` without an accepted reply; the packed adapter is gone when replies come."""
    counted, busy, results = accepted(before), _busy(session, question), dict(before)
    packed = _Packed.of(question, sites, session.job.schema)
    for site in sites:
        if site in counted:
            continue
        earlier = before.get(site, SiteResult("late"))
        if site in busy:
            results[site] = replace(earlier, status="late", reason=AT_EARLIER_ROUND)
        else:
            results[site] = _send(session, question, packed, site, roster.get(site), earlier)
    return results


@dataclass(frozen=True)
class _Packed:
    """What a question's messages carry: a record of the adapter for each rank that a site of it has."""

    adapters: Mapping[int | None, wire.PackedAdapter]
    carried: wire.PackedAdapter

    @classmethod
    def of(cls, question: Question, sites: Collection[str], schema: AdapterSchema) -> "_Packed":
        ranks = {question.plans[site].rank for site in sites}
        adapters = {rank: wire.pack_adapter(question.shared, schema, rank) for rank in ranks}
        return cls(adapters, wire.pack_carried(question.shared))


def _take_late(session: Session, question: Question) -> None:
    """Take in what answers earlier rounds: its sites are free again, and are asked in this attempt."""
    for arrival in session.exchange.take_late(question.round):
        if arrival.round:  # before round 1 nothing is asked that a receipt is of
            note_late(session.job, question.run, arrival)


def _lost_after_s(job: ServerJob) -> float | None:
    return None if job.deadline_s is None else LOST_AFTER * job.deadline_s


def _send(
    session: Session,
    question: Question,
    packed: _Packed,
    site: str,
    node: int | None,
    earlier: SiteResult,
) -> SiteResult:
    """Send one site its message; return what holds until it answers."""
    if node is None:
        return replace(earlier, status="absent", reason=NOT_CONNECTED)
    job = session.job
    request = _request(job, question, site)
    content = wire.encode_request(request, packed.adapters[request.plan.rank], packed.carried)
    message = wire.message(
        content, kind=question.kind, node=node, round_number=question.round, deadline_s=job.deadline_s
    )
    if not session.exchange.push(site, question.round, message):
        return replace(earlier, status="absent", reason="the transport does not know it")
    sent_bytes = earlier.bytes_down + wire.size_bytes(content)
    return replace(earlier, status="late", reason="no answer in time", bytes_down=sent_bytes)


def _request(job: ServerJob, question: Question, site: str) -> Request:
    return Request(
        kind=question.kind,
        run=question.run,
        round=question.round,
        seed=job.seed,
        study=job.study,
        schema=job.schema.digest,
        plan=question.plans[site],
        splits=question.splits,
        shared=sliced(question.shared, question.plans[site].rank),
    )


def _added(before: SiteResult, result: SiteResult) -> SiteResult:
    return replace(result, bytes_up=before.bytes_up + result.bytes_up, bytes_down=before.bytes_down)


def _tell(session: Session, question: Question, site: str, result: SiteResult, seconds: float) -> None:
    session.record(
        SiteAnswered(question.round, site, result.status, result.reason, result.bytes_up, seconds, result.train)
    )
