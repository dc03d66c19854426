"""What comes back from a site: whose it is, whether it counts, and the receipt that says so."""

from contextlib import suppress
from dataclasses import replace
from typing import Final

from common import wire
from common.errors import SchemaError
from common.protocol import Answer, Kind, Refusal, RoundPlan, asked_schema, at_rank
from common.signed_reply import Asked as AskedQuestion
from common.signed_reply import check_signature, without_signature
from server.admission import Accepted, Asked, Refused, admit, printable
from server.exchange import Arrival
from server.job import ServerJob
from server.receipts import Judged, digest_of
from server.session import Question, Session, SiteResult

_SITE_FAILURES: Final = frozenset({"TRAINING_FAILED", "TRAINING_DIVERGED", "OUT_OF_MEMORY"})


def judge(session: Session, question: Question, arrival: Arrival[wire.FlowerMessage]) -> SiteResult:
    """Return what becomes of a reply, with its receipt written and an accepted update in the spool."""
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
        sent = asked.compression.wire_schema(asked.schema)
        answer = wire.decode_answer(without_signature(content), sent, measure=session.job.measure)
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


def note_late(job: ServerJob, run: str, arrival: Arrival[wire.FlowerMessage]) -> None:
    """Write the receipt of a reply whose round is closed: it has no weight, but it left its site and came here."""
    kind: Kind = "train" if arrival.round <= job.rounds else "evaluate"
    size, answer = 0, None
    if wire.failure_of(arrival.reply) is None:
        size = wire.size_bytes(arrival.reply.content)
        with suppress(SchemaError):  # then it is one that nobody could read, or that is not its site's
            asked = asked_schema(job.schema, kind, at_rank(RoundPlan(), job.ranks.get(arrival.site)))
            schema = job.compression.wire_schema(asked)
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
        session.spool.put(question.round, verdict.update, asked.schema)
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
        compression=job.compression,
        evaluation=job.evaluation,
        splits=question.splits,
        declared=question.declared.get(site),
        norm_bound=job.norm_bound,
        infos=job.measure.infos,
        weighting=job.weighting,
    )
