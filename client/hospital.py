"""What a site's trainer process holds: it decides on every message, and keeps one study's base model and rows loaded.

Before a message is even decoded: is the site paused, is the study approved and unchanged, does the policy, read afresh,
allow it, and is it an hour of work? The first two and the hours are looked at again after each training step and before
anything is let out. Whatever goes wrong, only a word of `common.protocol.REASONS` goes out, signed as every answer is
whose question could be read.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar  # a status is JSON

from pydantic import ValidationError

from client.app import SITE_LOG, guarded, respond
from client.approval import Approved, Signed, Stamp, approvals, find
from client.budget import FILE as SPENT
from client.budget import Budget
from client.gate import Gate, readiness_entry, refusal_entry
from client.hours import is_open
from client.journal import Journal
from client.ledger import open_ledger
from client.limited_log import LimitedLog
from client.policy import Policy, objections, read_policy
from client.preflight import readiness
from client.sealing import Seal, read_storage_key
from client.settings import SiteSettings, read_settings
from client.shielding import patient_mechanism
from client.site import check_member, find_base_model, open_trainer
from client.site_folder import SiteFolder
from client.step_log import StepLog
from client.store import SiteStore
from client.trainer import Trainer
from common import wire
from common.compressing import compression_of
from common.errors import RefusedError, SchemaError, UserError
from common.keys import read_signing_key
from common.preflight import KIND, MESSAGE_KIND, Question, Readiness
from common.protocol import AskedQuestion
from common.request_head import RequestHead
from common.signed_reply import sign_readiness, sign_reply
from common.study_task import task_of

T = TypeVar("T")

_STRANGERS = ""
"""The log of refusals to studies that are not approved: one for all, since a server can invent digests."""


@dataclass(frozen=True)
class Resident:
    """The study that is loaded: its bundle's digest, the settings and base model it was opened by, and its trainer."""

    bundle: str
    settings: SiteSettings
    base_model: Path
    trainer: Trainer


@dataclass(frozen=True)
class Agreed:
    """What a message met: the approval of its study, the signed bundle, policy and settings as they are now."""

    approved: Approved
    signed: Signed
    policy: Policy
    settings: SiteSettings


@dataclass
class Hospital:
    """One real site. `base_model_loads` counts how often a base model was loaded; `now` is the local time."""

    folder: SiteFolder
    now: Callable[[], datetime] = datetime.now
    base_model_loads: int = 0
    _resident: Resident | None = None
    _loading: str | None = None
    _signed: dict[str, tuple[Stamp, Signed]] = field(default_factory=dict)
    _logs: dict[str, LimitedLog] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def preload(self) -> None:
        """Load base model and rows of the study that is approved, as its first message would, if there is just one.

        Where something is in the way it is told to the site's log; the first message meets it again.
        """
        with self._lock:
            try:
                approved = _or_refused(lambda: approvals(self.folder), "NOT_APPROVED")
                if len(approved) == 1:
                    self._trainer(self._agreed(approved[0].approval.study))
            except RefusedError as error:
                SITE_LOG.warning("the study is not loaded before its first message: %s", error.reason)
            except (UserError, OSError) as error:
                SITE_LOG.error("the study cannot be loaded: %s", error)

    def respond(self, action: str, content: wire.Content) -> wire.Content:
        """Return the answer to a message of Flower's type `action`, or a refusal; never raises."""
        return guarded(lambda: self._respond(action, content))

    def _respond(self, action: str, content: wire.Content) -> wire.Content:
        if action == "query":
            self._check_not_paused()
            return wire.encode_name(read_settings(self.folder).site)
        if action == MESSAGE_KIND:
            return self._preflight(_preflight_question(content))
        if action not in ("train", "evaluate"):
            SITE_LOG.warning("a message of a type that this site does not know")
            raise RefusedError("MALFORMED_REQUEST")
        head = _head_of(content)
        with self._lock:
            answer = guarded(lambda: respond(content, self._trainer_for(head)))
        return sign_reply(answer, head, read_signing_key(self.folder.signing_key))

    def _preflight(self, question: Question) -> wire.Content:
        """Say, signed, whether the study can work here; it is in the journal first."""

        def open_study() -> tuple[Path, Trainer]:
            trainer = self._trainer(self._agreed(question.study))
            assert self._resident is not None  # it has just been made
            return self._resident.base_model, trainer

        with self._lock:
            said = self._noted(question, readiness(question, open_study))
        signing_key = read_signing_key(self.folder.signing_key)
        return sign_readiness(wire.encode_value(said.model_dump(mode="json")), question, signing_key)

    def _noted(self, question: Question, said: Readiness) -> Readiness:
        """Write an answer down; beyond what the log has room for, it is no answer but a refusal."""
        if not said.is_refusal and not self._log(question.study).has_room_for(KIND):
            said = Readiness(problems=("POLICY",))
        log = self._log_of_refusals(question.study) if said.is_refusal else self._log(question.study)
        log.append(readiness_entry(read_settings(self.folder).site, question, said))
        return said

    def _trainer_for(self, head: AskedQuestion) -> Trainer:
        """Return the trainer of the study that a message is of, or raise RefusedError and write it down."""
        try:
            agreed = self._agreed(head.study)
        except RefusedError as error:
            self._note_refusal(head, error.reason)
            raise
        return self._trainer(agreed)

    def _agreed(self, study: str) -> Agreed:
        self._check_not_paused()
        policy = _or_refused(lambda: read_policy(self.folder.policy), "REFUSED_BY_POLICY")
        approved = _or_refused(lambda: find(self.folder, lambda each: each.study == study), "NOT_APPROVED")
        if approved is None:
            raise RefusedError("NOT_APPROVED")
        signed = _or_refused(lambda: self._read_signed(approved), "NOT_APPROVED")
        settings = read_settings(self.folder)
        agreed = Agreed(approved, signed, policy, settings)
        _check_policy(agreed)
        self._check_consent(agreed)
        return agreed

    def _check_not_paused(self) -> None:
        if self.folder.paused.exists():
            raise RefusedError("PAUSED")

    def _check_consent(self, agreed: Agreed) -> None:
        """Look, cheaply, whether the hospital still agrees."""
        self._check_not_paused()
        if not agreed.approved.holds():
            raise RefusedError("NOT_APPROVED")
        if not is_open(agreed.policy.hours, self.now()):
            raise RefusedError("OUTSIDE_HOURS")

    def _read_signed(self, approved: Approved) -> Signed:
        """Return the approved bundle; it is read, and all of it checked, once for each change of its files."""
        stamp, known = approved.stamp(), self._signed.get(approved.approval.bundle)
        if known is None or not stamp or known[0] != stamp:
            known = (stamp, approved.read())
            self._signed[approved.approval.bundle] = known
        return known[1]

    def _trainer(self, agreed: Agreed) -> Trainer:
        """Return the trainer under the policy as it is now; base model and rows are loaded where they are not yet."""
        bundle = agreed.signed.bundle.digest
        resident = self._resident
        if resident is None or (resident.bundle, resident.settings) != (bundle, agreed.settings):
            if resident is not None:
                resident.trainer.close()
            self._resident = resident = None  # so that two base models never are in memory
            self._loading = bundle
            try:
                resident = self._load(agreed)
            finally:
                self._loading = None
            self._resident = resident
        gate = replace(resident.trainer.gate, policy=agreed.policy)
        return replace(resident.trainer, gate=gate, check_consent=lambda: self._check_consent(agreed))

    def _load(self, agreed: Agreed) -> Resident:
        bundle, settings = agreed.signed.bundle, agreed.settings
        check_member(settings.site, bundle.study)
        base = find_base_model(settings, bundle.study)
        state = self.folder.study_state(bundle.digest)
        seal = Seal(read_storage_key(self.folder.storage_key))
        store = SiteStore(state, measure=task_of(bundle.study.task).measure, seal=seal)
        gate = Gate(
            site=settings.site,
            policy=agreed.policy,
            schema=bundle.schema,
            journal=self._log(bundle.study.digest),
            budget=Budget(state / SPENT),
            compression=compression_of(bundle.study.compression),
            is_private=patient_mechanism(bundle.study) is not None,
        )
        trainer = open_trainer(settings, bundle, base, store=store, gate=gate, ledger=open_ledger(self.folder))
        if settings.step_log:
            trainer = replace(trainer, step_log=StepLog(self.folder.step_log))
        self.base_model_loads += 1
        return Resident(bundle.digest, settings, base, trainer)

    def _note_refusal(self, head: AskedQuestion, reason: str) -> None:
        self._log_of_refusals(head.study).append(refusal_entry(read_settings(self.folder).site, head, reason))

    def _log_of_refusals(self, study: str) -> LimitedLog:
        return self._log(study if study in self._logs else _STRANGERS)

    def _log(self, study: str) -> LimitedLog:
        """Return the log of a study that is approved, or of strangers."""
        if study not in self._logs:
            self._logs[study] = LimitedLog(Journal(self.folder.journal, key=read_signing_key(self.folder.signing_key)))
        return self._logs[study]

    def status(self) -> dict[str, Any]:
        """Return how the site is, for the site itself; nothing of a patient. Never raises what a user can mend."""
        resident = self._resident
        return {
            "site": _or_text(lambda: read_settings(self.folder).site),
            "paused": self.folder.paused.exists(),
            "policy": _or_text(lambda: read_policy(self.folder.policy).digest),
            "approved": _or_text(lambda: [each.approval.model_dump() for each in approvals(self.folder)]),
            "loading": self._loading,
            "resident": None if resident is None else resident.bundle,
            "base_model_loads": self.base_model_loads,
        }


def _head_of(content: wire.Content) -> RequestHead:
    try:
        return wire.peek_request(content)
    except SchemaError:
        SITE_LOG.warning("a message is not a request", exc_info=True)
        raise RefusedError("MALFORMED_REQUEST") from None


def _preflight_question(content: wire.Content) -> Question:
    try:
        return Question.model_validate(wire.decode_value(content))
    except (SchemaError, ValidationError):
        SITE_LOG.warning("a message is not a preflight question", exc_info=True)
        raise RefusedError("MALFORMED_REQUEST") from None


def _check_policy(agreed: Agreed) -> None:
    found = objections(
        agreed.policy, agreed.signed.bundle, site=agreed.settings.site, coordinator=agreed.signed.coordinator
    )
    if found:
        SITE_LOG.warning("the policy forbids study %s: %s", agreed.approved.approval.name, "; ".join(found))
        raise RefusedError("REFUSED_BY_POLICY")


def _or_refused(work: Callable[[], T], reason: str) -> T:
    """Return what `work` makes; a mistake that the hospital can mend is told to its own log, and refuses."""
    try:
        return work()
    except UserError as error:
        SITE_LOG.warning("%s: %s", reason, error)
        raise RefusedError(reason) from None


def _or_text(work: Callable[[], object]) -> object:
    try:
        return work()
    except UserError as error:
        return {"error": str(error)}
