"""One question to a cohort: send it, judge what comes back, ask again below the quorum."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final

from common import wire
from common.errors import SchemaError
from common.protocol import Answer, Kind, Refusal, Request, RoundPlan, Split, SplitEvaluation, asked_schema
from common.signed_reply import Asked as AskedQuestion
from common.signed_reply import check_signature, without_signature
from common.state import AdapterSchema, AdapterState
from server import spool
from server.admission import Accepted, Asked, Refused, admit, printable
from server.events import Progress, RoundStarted, SiteAnswered, Status
from server.exchange import Arrival, Exchange
from server.job import ServerJob
from server.quorum import needed_replies
from server.receipts import Judged, digest_of
from server.roster import Roster, refreshed

ATTEMPTS: Final = 3
LOST_AFTER: Final = 2.0
"""Deadlines after which a message without an answer counts as lost, and its site as free again."""
_MAX_PAUSE_S: Final = 30.0
_SITE_FAILURES: Final = frozenset({"TRAINING_FAILED", "TRAINING_DIVERGED", "OUT_OF_MEMORY"})


@dataclass(frozen=True)
class Question:
    """What a cohort is asked; `plans` has the plan of each of its sites. `declared`: example counts known so far."""

    kind: Kind
    run: str
    round: int
    shared: AdapterState
    splits: tuple[Split, ...]
    plans: Mapping[str, RoundPlan]
    declared: Mapping[str, int]


@dataclass(frozen=True)
class SiteResult:
    """What became of one site's share in a round."""

    status: Status
    reason: str | None = None
    examples: int | None = None
    bytes_up: int = 0
    bytes_down: int = 0
    norm: float | None = None
    train: Mapping[str, float] = field(default_factory=dict)
    evaluations: Mapping[Split, SplitEvaluation] = field(default_factory=dict)


Results = Mapping[str, SiteResult]


@dataclass(frozen=True)
class Session:
    """What one run works with."""

    job: ServerJob
    exchange: Exchange[wire.FlowerMessage]
    roster: Roster
    record: Progress

    @cached_property
    def spool(self) -> Path:
        """Where accepted updates wait for their round to close."""
        return self.job.folder / "spool"


def accepted(results: Results) -> dict[str, SiteResult]:
    """Return the sites whose replies count, in the order of their names."""
    return {site: results[site] for site in sorted(results) if results[site].status == "accepted"}


def sent_schemas(job: ServerJob, question: Question, results: Results) -> dict[str, AdapterSchema]:
    """Return the tensors that each accepted reply has."""
    return {site: asked_schema(job.schema, question.kind, question.plans[site]) for site in accepted(results)}


def ask(session: Session, question: Question) -> Results:
    """Ask every site of the cohort; ask those without an accepted reply again, twice, while the quorum is not met.

    Sites answer the same question with the same bytes, so that asking again costs them nothing. Asked again are also
    those that have not answered, whose message may be lost; an answer late for one attempt counts in the next.
    """
    job = session.job
    session.record(RoundStarted(question.round, job.rounds, question.kind, tuple(question.plans)))
    results: Results = {}
    for attempt in range(ATTEMPTS):
        if attempt and job.deadline_s is not None:
            session.exchange.clock.wait(min(job.deadline_s / 10, _MAX_PAUSE_S))
        results = _attempt(session, question, results)
        if len(accepted(results)) >= needed_replies(job.quorum, len(question.plans)):
            break
    return results


def _attempt(session: Session, question: Question, before: Results) -> Results:
    _take_late(session, question)
    results = _send_all(session, question, before)
    for arrival in session.exchange.collect(question.round, session.job.deadline_s):
        result = _judge(session, question, arrival)
        results[arrival.site] = _added(results[arrival.site], result)
        _tell(session, question, arrival.site, result, arrival.seconds)
        del arrival  # the next may be minutes away
    return results


def _send_all(session: Session, question: Question, before: Results) -> dict[str, SiteResult]:
    """Send the question to the sites without an accepted reply; the packed adapter is gone when replies come in."""
    exchange, counted, results = session.exchange, accepted(before), dict(before)
    adapter = wire.pack_adapter(question.shared, session.job.schema)
    roster = refreshed(exchange, session.roster, session.job.sites)
    busy = exchange.waiting(since_s=_lost_after_s(session.job)) - exchange.waiting(question.round)
    for site in question.plans:
        if site in counted:
            continue
        earlier = before.get(site, SiteResult("late"))
        if site in busy:
            results[site] = replace(earlier, status="late", reason="still at an earlier round")
        else:
            results[site] = _send(session, question, adapter, site, roster.get(site), earlier)
    return results


def _take_late(session: Session, question: Question) -> None:
    """Take in what answers earlier rounds: its sites are free again, and are asked in this attempt."""
    for arrival in session.exchange.take_late(question.round):
        if arrival.round:  # before round 1 nothing is asked that a receipt is of
            _note_late(session.job, question.run, arrival)


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


def _judge(session: Session, question: Question, arrival: Arrival[wire.FlowerMessage]) -> SiteResult:
    result, answer = _judge_reply(session, question, arrival)
    _note(session.job, question, arrival.site, result, answer)
    return result


def _judge_reply(
    session: Session, question: Question, arrival: Arrival[wire.FlowerMessage]
) -> tuple[SiteResult, Answer | None]:
    """Return what becomes of a reply, and what could be read of it."""
    failure = wire.failure_of(arrival.reply)
    if failure is not None:
        return SiteResult("failed", failure), None
    content = arrival.reply.content
    size, asked = wire.size_bytes(content), _asked(session.job, question, arrival.site)
    try:
        answer = wire.decode_answer(without_signature(content), asked.schema, measure=session.job.measure)
        _check_signed(session.job, question.run, arrival, question.kind)
    except SchemaError as error:
        return SiteResult("refused", printable(str(error)), bytes_up=size), None
    return replace(_judge_answer(session, question, arrival.site, answer, asked), bytes_up=size), answer


def _check_signed(job: ServerJob, run: str, arrival: Arrival[wire.FlowerMessage], kind: Kind) -> None:
    """Raise SchemaError where an answer is not signed by the enrolled key of its site: a no is its own word too."""
    if job.signers is not None:
        asked = AskedQuestion(job.study, run, arrival.round, kind)
        check_signature(arrival.reply.content, asked, job.signers().get(arrival.site, ""))


def _note(job: ServerJob, question: Question, site: str, result: SiteResult, answer: Answer | None) -> None:
    """Write the receipt of one reply, before anything is made of it."""
    _write_receipt(job, question.run, question.round, question.kind, site, result, answer)


def _note_late(job: ServerJob, run: str, arrival: Arrival[wire.FlowerMessage]) -> None:
    """Write the receipt of a reply whose round is closed: it has no weight, but it left its site and came here."""
    kind: Kind = "train" if arrival.round <= job.rounds else "evaluate"
    size, answer = 0, None
    if wire.failure_of(arrival.reply) is None:
        size = wire.size_bytes(arrival.reply.content)
        with suppress(SchemaError):  # then it is one that nobody could read, or that is not its site's
            schema = asked_schema(job.schema, kind, RoundPlan())
            content = without_signature(arrival.reply.content)
            found = wire.decode_answer(content, schema, measure=job.measure)
            _check_signed(job, run, arrival, kind)
            answer = found
    result = SiteResult("late", "after its round was closed", bytes_up=size)
    _write_receipt(job, run, arrival.round, kind, arrival.site, result, answer)


def _write_receipt(
    job: ServerJob, run: str, number: int, kind: Kind, site: str, result: SiteResult, answer: Answer | None
) -> None:
    if job.receipts is None:
        return
    job.receipts.append(
        Judged(
            site=site,
            study=job.study,
            run=run,
            round=number,
            kind=kind,
            status=result.status,
            reason=result.reason,
            digest=digest_of(answer),
            size_bytes=result.bytes_up,
        )
    )


def _judge_answer(session: Session, question: Question, site: str, answer: Answer, asked: Asked) -> SiteResult:
    if isinstance(answer, Refusal):
        return SiteResult("failed" if answer.reason in _SITE_FAILURES else "refused", answer.reason)
    verdict = admit(site, answer, asked)
    if isinstance(verdict, Refused):
        return SiteResult("refused", verdict.reason)
    if question.kind == "train":
        spool.put(session.spool, question.round, verdict.update, asked.schema)
    return _counted(verdict)


def _counted(verdict: Accepted) -> SiteResult:
    return SiteResult(
        "accepted",
        examples=verdict.update.examples,
        norm=verdict.norm,
        train=verdict.train,
        evaluations=verdict.evaluations,
    )


def _asked(job: ServerJob, question: Question, site: str) -> Asked:
    plan = question.plans[site]
    return Asked(
        schema=asked_schema(job.schema, question.kind, plan),
        plan=plan,
        splits=question.splits,
        declared=question.declared.get(site),
        norm_bound=job.norm_bound,
        infos=job.measure.infos,
        weighting=job.weighting,
    )


def _added(before: SiteResult, result: SiteResult) -> SiteResult:
    return replace(result, bytes_up=before.bytes_up + result.bytes_up, bytes_down=before.bytes_down)


def _tell(session: Session, question: Question, site: str, result: SiteResult, seconds: float) -> None:
    session.record(
        SiteAnswered(question.round, site, result.status, result.reason, result.bytes_up, seconds, result.train)
    )
