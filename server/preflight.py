"""Before the first round, of a resumed run too: ask every connected site whether this study can work there."""

from dataclasses import dataclass
from typing import Final

from common import wire
from common.bundle import Bundle
from common.errors import ParticipationError, SchemaError
from common.preflight import MEANINGS, MESSAGE_KIND, NOTES, Question, Readiness, read_readiness
from server.asking import Session
from server.events import RunStopped, SiteChecked
from server.quorum import needed_replies

DEADLINE_S: Final = 300.0
"""A site may have to load its base model first."""
_ROUND: Final = 0
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


def check_sites(session: Session, bundle: Bundle, *, done: int) -> None:
    """Ask the sites that are connected, and record what each says.

    done: the last complete round. After the last of all only the closing evaluation is left, which has no quorum.

    Raises:
        ParticipationError: fewer are ready than a round's quorum needs; the text says who lacks what.
    """
    found = _ask(session, bundle)
    for checked in found.values():
        session.record(SiteChecked(checked.site, checked.is_ready, checked.lacks, _versions(checked)))
    ready = [site for site, checked in found.items() if checked.is_ready]
    needed = needed_replies(session.job.quorum, len(session.job.sites))
    if len(ready) >= needed or done >= session.job.rounds:
        return
    lacking = [f"{site}: {checked.lacks}" for site, checked in found.items() if not checked.is_ready]
    reason = f"{len(ready)} of {len(found)} sites can run this study, {needed} are needed. {'. '.join(lacking)}"
    session.record(RunStopped(done, reason))
    raise ParticipationError(reason)


def _versions(checked: Checked) -> dict[str, str | None]:
    return {} if checked.readiness is None else dict(checked.readiness.versions)


def _ask(session: Session, bundle: Bundle) -> dict[str, Checked]:
    study = bundle.study
    question = Question(study=study.digest, adapter_schema=bundle.schema.digest, bundle=bundle.digest)
    found = {site: Checked(site, reason="not connected") for site in sorted(session.job.sites)}
    for site, node in session.roster.items():
        content = wire.encode_value(question.model_dump())
        message = wire.message(content, kind=MESSAGE_KIND, node=node, round_number=_ROUND, deadline_s=DEADLINE_S)
        if session.exchange.push(site, _ROUND, message):
            found[site] = Checked(site, reason="no answer in time")
    for arrival in session.exchange.collect(_ROUND, DEADLINE_S):
        if arrival.site in found:
            found[arrival.site] = _read(arrival.site, arrival.reply)
    return found


def _read(site: str, reply: wire.FlowerMessage) -> Checked:
    failure = wire.failure_of(reply)
    if failure is not None:
        return Checked(site, reason=failure)
    try:
        return Checked(site, read_readiness(wire.decode_value(reply.content)))
    except SchemaError:
        return Checked(site, reason="an answer that cannot be read")
