"""Before the first round, of a resumed run too: ask every connected site whether this study can work there."""

import secrets
from dataclasses import dataclass
from typing import Final

from common import wire
from common.bundle import Bundle
from common.errors import ParticipationError, SchemaError
from common.preflight import KIND, MEANINGS, MESSAGE_KIND, NOTES, ROUND, Question, Readiness, read_readiness
from common.signed_reply import check_readiness, without_signature
from server.early_stop import is_over
from server.events import RunStopped, SiteChecked, Status
from server.job import ServerJob
from server.quorum import needed_replies
from server.receipts import Judged
from server.session import Session
from server.state import ServerState

DEADLINE_S: Final = 300.0
"""A site may have to load its base model first."""
NOT_SIGNED: Final = "an answer that the site's enrolled key did not sign"
MIB: Final = 2**20


@dataclass(frozen=True)
class Checked:
    """One site's readiness, or why there is none."""

    site: str
    readiness: Readiness | None = None
    reason: str | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the site can take part."""
        return self.readiness is not None and self.readiness.is_ready

    @property
    def lacks(self) -> str:
        """What stands in the way, and what is worth knowing, in words."""
        if self.readiness is None:
            return self.reason or "no answer"
        words = [MEANINGS[problem] for problem in self.readiness.problems]
        words += [NOTES[note] for note in self.readiness.notes]
        free, needed = self.readiness.free_bytes, self.readiness.needed_bytes
        if "TOO_LITTLE_MEMORY" in self.readiness.problems and free is not None and needed is not None:
            words.append(f"{free // MIB} MiB are free, {needed // MIB} MiB are needed")
        return "; ".join(words)


def check_sites(session: Session, bundle: Bundle, state: ServerState) -> None:
    """Ask the sites that are connected, and record what each says.

    state: of the run, after its last complete round. After the last of all only the closing evaluation is left, which
    has no quorum.

    Raises:
        ParticipationError: fewer are ready than a round's quorum needs; the text says who lacks what.
    """
    job, found = session.job, _ask(session, bundle, state.run)
    for checked in found.values():
        session.record(SiteChecked(checked.site, checked.is_ready, checked.lacks, _versions(checked)))
    ready = [site for site, checked in found.items() if checked.is_ready]
    needed = needed_replies(job.quorum, len(job.sites))
    if len(ready) >= needed or is_over(state, job):
        return
    lacking = [f"{site}: {checked.lacks}" for site, checked in found.items() if not checked.is_ready]
    reason = f"{len(ready)} of {len(found)} sites can run this study, {needed} are needed. {'. '.join(lacking)}"
    session.record(RunStopped(state.round, reason))
    raise ParticipationError(reason)


def _versions(checked: Checked) -> dict[str, str | None]:
    return {} if checked.readiness is None else dict(checked.readiness.versions)


def _ask(session: Session, bundle: Bundle, run: str) -> dict[str, Checked]:
    question = Question(
        run=run,
        nonce=secrets.token_hex(16),
        study=bundle.study.digest,
        adapter_schema=bundle.schema.digest,
        bundle=bundle.digest,
    )
    found = {site: Checked(site, reason="not connected") for site in sorted(session.job.sites)}
    for site, node in session.roster.items():
        content = wire.encode_value(question.model_dump())
        message = wire.message(content, kind=MESSAGE_KIND, node=node, round_number=ROUND, deadline_s=DEADLINE_S)
        if session.exchange.push(site, ROUND, message):
            found[site] = Checked(site, reason="no answer in time")
    for arrival in session.exchange.collect(ROUND, DEADLINE_S):
        if arrival.site in found:
            found[arrival.site] = _read(session.job, question, arrival.site, arrival.reply)
            _note(session.job, question, found[arrival.site], arrival.reply)
    return found


def _read(job: ServerJob, question: Question, site: str, reply: wire.FlowerMessage) -> Checked:
    failure = wire.failure_of(reply)
    if failure is not None:
        return Checked(site, reason=failure)
    try:
        if job.signers is not None:
            check_readiness(reply.content, question, job.signers().get(site, ""))
    except SchemaError:
        return Checked(site, reason=NOT_SIGNED)
    try:
        return Checked(site, read_readiness(wire.decode_value(without_signature(reply.content))))
    except SchemaError:
        return Checked(site, reason="an answer that cannot be read")


def _note(job: ServerJob, question: Question, checked: Checked, reply: wire.FlowerMessage) -> None:
    """Write the receipt of what a site says: the site has one too."""
    if job.receipts is None:
        return
    said, failed = checked.readiness, wire.failure_of(reply) is not None
    status: Status = "failed" if failed else "refused" if said is None or said.is_refusal else "accepted"
    job.receipts.append(
        Judged(
            site=checked.site,
            study=question.study,
            run=question.run,
            round=ROUND,
            kind=KIND,
            status=status,
            reason=checked.lacks or None,
            digest=None if said is None else said.digest,
            size_bytes=0 if failed else wire.size_bytes(reply.content),
        )
    )
