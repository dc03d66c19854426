"""The gate: the one place at a site through which anything leaves. It fails closed and writes the journal.

What may leave is what the schema calls shared and the plan calls active, in the right shapes, finite, within the
policy's bounds, with the metrics that the policy names on the splits that were asked for, and the four figures of
TRAIN_FIGURES. Anything else is refused as a whole: the gate drops or repairs nothing, score histograms apart, which the
policy may withhold.
"""

from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal

from client.journal import Decision, Entry, Journal
from common import answers
from common.errors import NotFiniteError, RefusedError, SchemaError
from common.files import digest_json
from common.metrics.evaluation import METRICS
from common.metrics.types import Metric
from common.protocol import TRAIN_FIGURES, Answer, Refusal, Reply, Request, SplitEvaluation, asked_schema
from common.state import AdapterSchema, digest_state, norm


@dataclass(frozen=True)
class Policy:
    """What a hospital lets out. The defaults are those of a real site; a simulation opens the histograms.

    max_update_bytes: of one reply. max_update_norm: Euclidean, over all tensors. minimum_patients: with fewer to train
    on nothing is answered, and metrics of fewer are withheld: their values may be one patient's. metrics: names that
    may leave. runs: how many runs of the study are answered; a new run can ask everything again.
    """

    max_update_bytes: int = 64 * 2**20
    max_update_norm: float | None = None
    minimum_patients: int = 10
    metrics: tuple[str, ...] = METRICS
    release_histograms: bool = False
    runs: int = 1


@dataclass(frozen=True)
class Objection:
    """Why a reply must not leave: `reason`, for the journal, names no content; `word` is the refusal."""

    reason: str
    word: Literal["REFUSED_BY_POLICY", "TRAINING_DIVERGED"] = "REFUSED_BY_POLICY"


NOT_FINITE = Objection("not finite", "TRAINING_DIVERGED")


@dataclass(frozen=True)
class Gate:
    """The policy and the journal of one site, with the schema that names what may leave."""

    site: str
    policy: Policy
    schema: AdapterSchema
    journal: Journal

    def release(self, reply: Reply, request: Request) -> Reply:
        """Return the reply as it may leave, or raise RefusedError; either is in the journal first."""
        asked = asked_schema(self.schema, request.kind, request.plan)
        objection = _forbidden(reply, asked, self.policy) or _unasked(reply, request)
        if objection is not None:
            self.note_refusal(request, objection.reason)
            raise RefusedError(objection.word)
        gated = replace(reply, evaluations={s: _withhold(e, self.policy) for s, e in reply.evaluations.items()})
        self.journal.append(_entry(self.site, request, "released", reply=gated))
        return gated

    def check_patients(self, patients: int) -> None:
        """Refuse to answer for so few patients that an update would speak of single ones."""
        if patients < self.policy.minimum_patients:
            raise RefusedError("TOO_FEW_PATIENTS")

    def note_refusal(self, request: Request, reason: str) -> None:
        """Write down that a request was refused before there was anything to release."""
        self.journal.append(_entry(self.site, request, "refused", reason=reason))

    def note_repetition(self, answer: Answer, request: Request) -> None:
        """Write down that an earlier answer leaves once more."""
        if isinstance(answer, Refusal):
            self.note_refusal(request, answer.reason)
        else:
            self.journal.append(_entry(self.site, request, "repeated", reply=answer))


def _entry(
    site: str, request: Request, decision: Decision, *, reason: str | None = None, reply: Reply | None = None
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
        digest=digest_json([answers.to_json(reply), digest_state({**reply.update, **reply.extra})]) if reply else None,
        metrics=sorted({f"{split} {m}" for split, e in evaluations.items() for m in e.scores.metrics}),
        histograms=sorted(split for split, e in evaluations.items() if e.histogram is not None),
        examples=reply.examples if reply else None,
    )


def _size(reply: Reply) -> int:
    return sum(array.nbytes for array in [*reply.update.values(), *reply.extra.values()])


def _forbidden(reply: Reply, asked: AdapterSchema, policy: Policy) -> Objection | None:
    """Return the objection to tensors or metrics that schema, plan or policy forbid, or None."""
    try:
        asked.check(reply.update)
    except NotFiniteError:
        return NOT_FINITE
    except SchemaError:
        return Objection("tensors are not exactly those that the plan allows")
    if reply.extra:
        return Objection("extra arrays are not allowed")
    if _size(reply) > policy.max_update_bytes:
        return Objection(f"{_size(reply)} bytes, the policy allows {policy.max_update_bytes}")
    if policy.max_update_norm is not None and norm(reply.update) > policy.max_update_norm:
        return Objection(f"update norm over {policy.max_update_norm}")
    unknown = {m for e in reply.evaluations.values() for m in e.scores.metrics} - set(policy.metrics)
    return Objection(f"metric {sorted(unknown)[0]} is not allowed") if unknown else None


def _unasked(reply: Reply, request: Request) -> Objection | None:
    """Return the objection to what nobody asked for, or None."""
    if not set(reply.train) <= TRAIN_FIGURES:
        return Objection(f"figures beside {', '.join(sorted(TRAIN_FIGURES))}")
    if not all(isfinite(value) for value in reply.train.values()):
        return NOT_FINITE
    return None if set(reply.evaluations) <= set(request.splits) else Objection("a split that was not asked for")


def _withhold(evaluation: SplitEvaluation, policy: Policy) -> SplitEvaluation:
    """Drop the histogram unless allowed, and every value that rests on too few patients."""
    scores = evaluation.scores
    if scores.patients < policy.minimum_patients:
        hidden = {
            m: Metric(None, n=v.n, reason="fewer patients than the site releases") for m, v in scores.metrics.items()
        }
        return SplitEvaluation(replace(scores, metrics=hidden))
    return evaluation if policy.release_histograms else SplitEvaluation(scores)
