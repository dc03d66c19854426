"""The gate: the one place at a site through which anything leaves. It fails closed and writes the journal.

What may leave is what the schema calls shared and the plan calls active, in the right shapes, finite, within the
policy's bounds, with metrics on the splits that were asked for, and the figures of TRAIN_FIGURES. Anything else is
refused as a whole: the gate drops or repairs nothing, but for metrics and score histograms, which the policy may
withhold.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from types import MappingProxyType
from typing import Literal, Protocol

from client.budget import Budget
from client.evidence_gate import allowed, let_out
from client.journal import Decision, Entry
from client.policy import Policy
from client.private_reply import says_more
from common import answers
from common.compressing import restored
from common.compression import Compression
from common.compression.none import UNCOMPRESSED
from common.errors import NotFiniteError, RefusedError, SchemaError
from common.files import canonical_json
from common.metrics.types import Metric
from common.preflight import KIND, ROUND, Question, Readiness
from common.protocol import (
    TRAIN_FIGURES,
    Answer,
    AskedQuestion,
    Refusal,
    Reply,
    Request,
    Split,
    SplitEvaluation,
    asked_schema,
)
from common.state import AdapterSchema, AdapterState, norm
from common.study_task import metric_names


class EntryLog(Protocol):
    """Where entries go: the journal itself, or what keeps it short."""

    def append(self, entry: Entry) -> None:
        """Write one entry."""
        ...


@dataclass(frozen=True)
class Objection:
    """Why a reply must not leave: `reason`, for the journal, names no content; `word` is the refusal."""

    reason: str
    word: Literal["REFUSED_BY_POLICY", "TRAINING_DIVERGED"] = "REFUSED_BY_POLICY"


NOT_FINITE = Objection("not finite", "TRAINING_DIVERGED")
NO_COUNTS: Mapping[Split, int] = MappingProxyType({})
FEW = "fewer patients than the site releases"


@dataclass(frozen=True)
class Gate:
    """The policy and the journal of one site, with the schema that names what may leave.

    budget: counts the bytes that left in answer to the study; None where nobody counts, as in a simulation.
    compression: the study's; names and norm are those of the update that a reply stands for, bytes are what leaves.
    is_private: whether the study protects single patients: then a reply has nothing that noise does not cover.
    """

    site: str
    policy: Policy
    schema: AdapterSchema
    journal: EntryLog
    budget: Budget | None = None
    compression: Compression = UNCOMPRESSED
    is_private: bool = False

    def release(self, reply: Reply, request: Request, *, rarest: Mapping[Split, int] = NO_COUNTS) -> Reply:
        """Return the reply as it may leave, or raise RefusedError; either is in the journal first.

        rarest: for each split, how many patients the rarest class has; a split without such a count has none.
        """
        asked = asked_schema(self.schema, request.kind, request.plan)
        objection = self._forbidden(reply, asked) or _unasked(reply, request)
        if objection is not None:
            self.note_refusal(request, objection.reason)
            raise RefusedError(objection.word)
        gated = self._withheld(reply, rarest)
        self._count(gated, request)
        self.journal.append(self._entry(request, "released", gated))
        return gated

    def check_again(self, answer: Reply, request: Request, *, rarest: Mapping[Split, int] = NO_COUNTS) -> None:
        """Raise RefusedError where the policy, which may have changed, would let out less than this answer has."""
        asked = asked_schema(self.schema, request.kind, request.plan)
        same = answers.to_json(self._withheld(answer, rarest)) == answers.to_json(answer)
        if self._forbidden(answer, asked) is not None or not same:
            raise RefusedError("REFUSED_BY_POLICY")

    def _withheld(self, reply: Reply, rarest: Mapping[Split, int]) -> Reply:
        """Return the reply without what the policy withholds.

        Where a privacy mechanism lets out no metric, none is withheld for few patients: that word is itself an exact
        answer about them.
        """
        if self.is_private and not self.policy.exact_metrics:
            return reply
        evaluations = {s: _withhold(e, self.policy, rarest.get(s, 0)) for s, e in reply.evaluations.items()}
        return replace(reply, evaluations=evaluations)

    def _forbidden(self, reply: Reply, asked: AdapterSchema) -> Objection | None:
        """Return the objection to tensors or metrics that schema, plan or policy forbid, or None."""
        try:
            update = restored(reply.update, asked, self.compression)
        except NotFiniteError:
            return NOT_FINITE
        except SchemaError:
            return Objection("tensors are not exactly those that the plan allows")
        if self.is_private and says_more(reply, self.policy):
            return Objection("figures or counts that the study's privacy mechanism does not cover")
        return _not_let_out(reply, update, self.policy)

    def check_patients(self, patients: int) -> None:
        """Refuse to answer for so few patients that an update would speak of single ones."""
        if patients < self.policy.minimum_patients:
            raise RefusedError("TOO_FEW_PATIENTS")

    def check_room(self, request: Request) -> None:
        """Refuse to work for an answer that the study's budget has no room for."""
        if self.budget is not None:
            sent = self.compression.wire_schema(asked_schema(self.schema, request.kind, request.plan))
            self.budget.check(sent.size_bytes, limit=self.policy.max_study_bytes)

    def _count(self, gated: Reply, request: Request) -> None:
        """Count the reply's bytes before it is let out: a crash in between counts too many, never too few."""
        if self.budget is None:
            return
        try:
            self.budget.spend(size_of(gated), limit=self.policy.max_study_bytes)
        except RefusedError as error:
            self.note_refusal(request, error.reason)
            raise

    def note_refusal(self, request: AskedQuestion, reason: str) -> None:
        """Write down that a request was refused before there was anything to release."""
        self.journal.append(_entry(self.site, request, "refused", reason=reason, policy=self.policy.digest))

    def note_repetition(self, answer: Answer, request: Request) -> None:
        """Write down that an earlier answer leaves once more."""
        if isinstance(answer, Refusal):
            self.note_refusal(request, answer.reason)
        else:
            self.journal.append(self._entry(request, "repeated", answer))

    def _entry(self, request: Request, decision: Decision, reply: Reply) -> Entry:
        return _entry(self.site, request, decision, reply=reply, policy=self.policy.digest)


def refusal_entry(site: str, asked: AskedQuestion, reason: str) -> Entry:
    """Return the journal's entry for a refusal."""
    return _entry(site, asked, "refused", reason=reason)


def readiness_entry(site: str, question: Question, said: Readiness) -> Entry:
    """Return the journal's entry for what is said before round 1."""
    return Entry(
        decision="refused" if said.is_refusal else "released",
        site=site,
        study=question.study,
        run=question.run,
        round=ROUND,
        kind=KIND,
        reason=said.problems[0] if said.is_refusal else None,
        tensors=0,
        size_bytes=0 if said.is_refusal else len(said.content),
        digest=said.digest,
        metrics=(),
        histograms=(),
        examples=None,
    )


def size_of(reply: Reply) -> int:
    """Return the bytes of all that a reply says: tensors, and everything else as JSON."""
    return _size(reply) + len(canonical_json(answers.to_json(reply)))


def _entry(
    site: str,
    request: AskedQuestion,
    decision: Decision,
    *,
    reason: str | None = None,
    reply: Reply | None = None,
    policy: str | None = None,
) -> Entry:
    """`digest` is over everything that leaves: tensors, counts, figures, metrics and histograms."""
    evaluations = reply.evaluations if reply else {}
    return Entry(
        decision=decision,
        site=site,
        study=request.study,
        run=request.run,
        round=request.round,
        kind=request.kind,
        reason=reason,
        tensors=len(reply.update) + len(reply.extra) if reply else 0,
        size_bytes=_size(reply) if reply else 0,
        digest=answers.payload_digest(reply) if reply else None,
        metrics=sorted({f"{split} {name}" for split, e in evaluations.items() for name in _told(e)}),
        histograms=sorted(split for split, e in evaluations.items() if e.summary is not None),
        examples=reply.examples if reply else None,
        policy=policy,
    )


def _told(evaluation: SplitEvaluation) -> list[str]:
    """Name the metrics that are told, and the parts of the evidence."""
    return [*evaluation.scores.metrics, *(evaluation.evidence.parts if evaluation.evidence is not None else ())]


def _size(reply: Reply) -> int:
    return sum(array.nbytes for array in [*reply.update.values(), *reply.extra.values()])


def _not_let_out(reply: Reply, update: AdapterState, policy: Policy) -> Objection | None:
    """Return the policy's objection to a reply whose payload stands for this update, or None."""
    if reply.extra:
        return Objection("extra arrays are not allowed")
    if _size(reply) > policy.max_update_bytes:
        return Objection(f"{_size(reply)} bytes, the policy allows {policy.max_update_bytes}")
    if policy.max_update_norm is not None and norm(update) > policy.max_update_norm:
        return Objection(f"update norm over {policy.max_update_norm}")
    if not all(policy.lets_out(name) for name in update):
        return Objection("a tensor that the policy does not let out")
    known = frozenset(metric_names())
    unknown = any(m.keys() - known for e in reply.evaluations.values() for m in _all_metrics(e))
    return Objection("a metric that nobody knows") if unknown else None


def _all_metrics(evaluation: SplitEvaluation) -> list[Mapping[str, Metric]]:
    evidence = evaluation.evidence
    return [evaluation.scores.metrics, *([] if evidence is None else [s.scores.metrics for s in evidence.shown()])]


def _unasked(reply: Reply, request: Request) -> Objection | None:
    """Return the objection to what nobody asked for, or None."""
    if not set(reply.train) <= TRAIN_FIGURES:
        return Objection(f"figures beside {', '.join(sorted(TRAIN_FIGURES))}")
    if not all(isfinite(value) for value in reply.train.values()):
        return NOT_FINITE
    return None if set(reply.evaluations) <= set(request.splits) else Objection("a split that was not asked for")


def _withhold(evaluation: SplitEvaluation, policy: Policy, rarest: int) -> SplitEvaluation:
    """Drop histogram and evidence unless allowed, what rests on too few patients, and metrics not allowed."""
    scores = evaluation.scores
    if scores.patients < policy.minimum_patients or rarest < policy.minimum_class_patients:
        return SplitEvaluation(replace(scores, metrics={m: _hidden(v, FEW) for m, v in scores.metrics.items()}))
    return SplitEvaluation(
        allowed(scores, policy),
        evaluation.summary if policy.release_histograms else None,
        None if evaluation.evidence is None else let_out(evaluation.evidence, policy),
    )


def _hidden(metric: Metric, reason: str) -> Metric:
    return Metric(None, n=metric.n, reason=reason)
