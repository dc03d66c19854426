"""One question to a cohort: send it, take in what comes back, ask again below the quorum."""

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from common import wire
from common.protocol import Request
from server.events import RoundStarted, SiteAnswered, SitesAwaited
from server.job import ServerJob
from server.judging import judge, note_late
from server.quorum import needed_replies
from server.roster import refreshed
from server.session import Question, Results, Session, SiteResult, accepted

ATTEMPTS: Final = 3
LOST_AFTER: Final = 2.0
"""Deadlines after which a message without an answer counts as lost, and its site as free again."""
_MAX_PAUSE_S: Final = 30.0
_LOOK_AGAIN_S: Final = 2.0
_BUSY: Final = "still at an earlier round"


def ask(session: Session, question: Question) -> Results:
    """Ask every site of the cohort; ask those without an accepted reply again, twice, while the quorum is not met.

    Sites answer the same question with the same bytes, so that asking again costs them nothing. Asked again are also
    those that have not answered, whose message may be lost; an answer late for one attempt counts in the next. A site
    that is away, or still at an earlier round, is asked as soon as it is there, while others are at work, and for as
    long as one deadline where the quorum needs it.
    """
    job, clock = session.job, session.exchange.clock
    session.record(RoundStarted(question.round, job.rounds, question.kind, tuple(question.plans)))
    patient_until = clock.now() + (job.deadline_s or 0.0)
    results: Results = {}
    for attempt in range(ATTEMPTS):
        if attempt and job.deadline_s is not None:
            clock.wait(min(job.deadline_s / 10, _MAX_PAUSE_S))
        results = _attempt(session, question, results, patient_until)
        if _has_quorum(session, question, results):
            break
    return results


def _has_quorum(session: Session, question: Question, results: Results) -> bool:
    return len(accepted(results)) >= needed_replies(session.job.quorum, len(question.plans))


def _attempt(session: Session, question: Question, before: Results, patient_until: float) -> Results:
    _take_late(session, question)
    results = _send_all(session, question, before, question.plans)
    clock, deadline_s = session.exchange.clock, session.job.deadline_s
    if deadline_s is None:
        _collect(session, question, results, None)
        return results
    end, told = clock.now() + deadline_s, False
    while (now := clock.now()) < end:
        unasked = _unasked(results)
        if not session.exchange.waiting(question.round):  # nobody is at work
            if not unasked or now >= patient_until or _has_quorum(session, question, results):
                break
            if not told:
                session.record(SitesAwaited(question.round, unasked))
            told = True
            clock.wait(_LOOK_AGAIN_S)
        _collect(session, question, results, min(end - now, _LOOK_AGAIN_S))
        if unasked and clock.now() < end:
            _take_late(session, question)
            results = _send_all(session, question, results, unasked)
    return results


def _unasked(results: Results) -> tuple[str, ...]:
    """Return the sites that could not be asked yet."""
    return tuple(s for s in sorted(results) if results[s].status == "absent" or results[s].reason == _BUSY)


def _collect(session: Session, question: Question, results: dict[str, SiteResult], deadline_s: float | None) -> None:
    for arrival in session.exchange.collect(question.round, deadline_s):
        result = judge(session, question, arrival)
        results[arrival.site] = _added(results[arrival.site], result)
        _tell(session, question, arrival.site, result, arrival.seconds)
        del arrival  # the next may be minutes away


def _send_all(session: Session, question: Question, before: Results, sites: Collection[str]) -> dict[str, SiteResult]:
    """Send the question to those of `sites` without an accepted reply; the packed adapter is gone when replies come."""
    exchange, counted, results = session.exchange, accepted(before), dict(before)
    adapter = wire.pack_adapter(question.shared, session.job.schema)
    roster = refreshed(exchange, session.roster, session.job.sites)
    busy = exchange.waiting(since_s=_lost_after_s(session.job)) - exchange.waiting(question.round)
    for site in sites:
        if site in counted:
            continue
        earlier = before.get(site, SiteResult("late"))
        if site in busy:
            results[site] = replace(earlier, status="late", reason=_BUSY)
        else:
            results[site] = _send(session, question, adapter, site, roster.get(site), earlier)
    return results


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
    adapter: wire.PackedAdapter,
    site: str,
    node: int | None,
    earlier: SiteResult,
) -> SiteResult:
    """Send one site its message; return what holds until it answers."""
    if node is None:
        return replace(earlier, status="absent", reason="not connected")
    job = session.job
    content = wire.encode_request(_request(job, question, site), adapter)
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
        shared=question.shared,
    )


def _added(before: SiteResult, result: SiteResult) -> SiteResult:
    return replace(result, bytes_up=before.bytes_up + result.bytes_up, bytes_down=before.bytes_down)


def _tell(session: Session, question: Question, site: str, result: SiteResult, seconds: float) -> None:
    session.record(
        SiteAnswered(question.round, site, result.status, result.reason, result.bytes_up, seconds, result.train)
    )
