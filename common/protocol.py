"""What server and sites say to each other, as plain values; `common.wire` turns them into Flower messages."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, Protocol

from common.files import digest_json
from common.metrics.measure import Summary
from common.metrics.types import Scores
from common.rank_slices import sliced_schema
from common.site_evidence import SiteEvidence
from common.state import AdapterSchema, AdapterState, digest_state

Kind = Literal["train", "evaluate"]
Split = Literal["validation", "test"]

REASONS = frozenset(
    {
        "WRONG_STUDY",
        "WRONG_SCHEMA",
        "WRONG_ADAPTER",
        "MALFORMED_REQUEST",
        "ROUND_ALREADY_ANSWERED",
        "ROUND_IN_THE_PAST",
        "NO_TRAINING_ROWS",
        "TOO_FEW_PATIENTS",
        "TOO_MANY_RUNS",
        "REFUSED_BY_POLICY",
        "TRAINING_DIVERGED",
        "TRAINING_FAILED",
        "OUT_OF_MEMORY",
        "NOT_APPROVED",
        "PAUSED",
        "OUTSIDE_HOURS",
        "STUDY_BUDGET_SPENT",
        "PRIVACY_BUDGET_SPENT",
    }
)
"""The only words with which a site says no. TRAINING_FAILED stands for any other failure: details stay in its log."""

PASSING_REASONS = frozenset(
    {"NOT_APPROVED", "PAUSED", "OUTSIDE_HOURS", "STUDY_BUDGET_SPENT", "PRIVACY_BUDGET_SPENT", "OUT_OF_MEMORY"}
)
"""Those that the hospital may lift: a site stores none of them, and may answer the same question later."""


TRAIN_FIGURES = frozenset({"loss", "gradient_norm", "steps", "seconds_train", "seconds_evaluate"})
"""What a reply may say of the training itself, all of it numbers from 0."""


@dataclass(frozen=True)
class RoundPlan:
    """What a strategy asks of one site in one round.

    active: names of the shared tensors trained and sent this round; None is all of them.
    proximal_mu: weight of FedProx' term mu/2 ||x - x_t||^2 (Li et al. 2020, https://arxiv.org/abs/1812.06127).
    rank: LoRA rank of this site; None is the study's.
    extra: what else the strategy wants to know, by name.

    A site does all of a plan or refuses it (MALFORMED_REQUEST).
    """

    active: tuple[str, ...] | None = None
    proximal_mu: float = 0.0
    rank: int | None = None
    extra: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return a value for the wire."""
        active = None if self.active is None else list(self.active)
        return {"active": active, "proximal_mu": self.proximal_mu, "rank": self.rank, "extra": dict(self.extra)}


def asked_schema(schema: AdapterSchema, kind: Kind, plan: RoundPlan) -> AdapterSchema:
    """Return the tensors that a reply has: the active shared ones at the site's rank, none where nothing is trained.

    Raises:
        SchemaError: the plan names a tensor that is not a shared one of `schema`.
    """
    asked = received_schema(schema, plan).only(plan.active)  # one factor of a pair is cut as the pair is
    return asked if kind == "train" else AdapterSchema(())


def at_rank(plan: RoundPlan, rank: int | None) -> RoundPlan:
    """Return the plan with the site's rank of the study, where the strategy gave none."""
    return replace(plan, rank=rank) if plan.rank is None else plan


def received_schema(schema: AdapterSchema, plan: RoundPlan) -> AdapterSchema:
    """Return the tensors that a site is sent: all shared ones at its rank, trained in this round or not."""
    return sliced_schema(schema.shared, plan.rank)


@dataclass(frozen=True)
class Request:
    """One message to one site: train from `shared` in `round`, and first evaluate it on `splits`.

    `kind = "evaluate"` trains nothing. `round` counts from 1; the state in `shared` is the one that round - 1 made.
    """

    kind: Kind
    run: str
    round: int
    seed: int
    study: str
    schema: str
    plan: RoundPlan
    splits: tuple[Split, ...]
    shared: AdapterState

    @cached_property
    def fits(self) -> set[str]:
        """Digests of the schemas that `shared` was found to be of, by whoever looked: one object may ask many sites."""
        return set()

    @cached_property
    def digest(self) -> str:
        """Digest of everything in the request: a site answers one question per round."""
        head = [self.kind, self.run, self.round, self.seed, self.study, self.schema, self.plan.to_json()]
        return digest_json([*head, list(self.splits), digest_state(self.shared)])


@dataclass(frozen=True)
class SplitEvaluation:
    """Metrics of one split at one site, and what else of it the site's policy releases.

    summary: for metrics over sites. evidence: of test rows alone, once at the end, where the study asks for some.
    """

    scores: Scores
    summary: Summary | None = None
    evidence: SiteEvidence | None = None


@dataclass(frozen=True)
class Reply:
    """A site's answer: the gated update (trained - received, active shared tensors) and what it measured.

    `update` is what leaves: under a study's compression the payload, whose tensors are those of its `wire_schema`.
    `examples` is the number of training rows; `train` has loss, steps and seconds of this round.
    """

    update: AdapterState
    examples: int
    train: Mapping[str, float]
    evaluations: Mapping[Split, SplitEvaluation]
    extra: AdapterState = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """A site's no; `reason` is one of REASONS."""

    reason: str


Answer = Reply | Refusal


class AskedQuestion(Protocol):
    """What an answer is known by: a request, or the head of one."""

    @property
    def study(self) -> str:
        """Digest of the study."""
        ...

    @property
    def run(self) -> str:
        """Name of the run."""
        ...

    @property
    def round(self) -> int:
        """Number of the round."""
        ...

    @property
    def kind(self) -> Kind:
        """Whether to train."""
        ...
