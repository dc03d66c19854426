"""What one run works with, one question to its cohort, and what becomes of each site's share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from common import wire
from common.protocol import Kind, RoundPlan, Split, SplitEvaluation, asked_schema
from common.state import AdapterSchema, AdapterState
from server.events import Progress, Status
from server.exchange import Exchange
from server.job import ServerJob
from server.roster import Roster
from server.spool import Spool


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
    def spool(self) -> Spool:
        """Where accepted updates wait for their round to close."""
        return Spool(self.job.folder / "spool")


def accepted(results: Results) -> dict[str, SiteResult]:
    """Return the sites whose replies count, in the order of their names."""
    return {site: results[site] for site in sorted(results) if results[site].status == "accepted"}


def sent_schemas(job: ServerJob, question: Question, results: Results) -> dict[str, AdapterSchema]:
    """Return the tensors that each accepted reply has."""
    return {site: asked_schema(job.schema, question.kind, question.plans[site]) for site in accepted(results)}


def of_anyone(job: ServerJob, question: Question) -> AdapterSchema:
    """Return the tensors that any site of the cohort is asked for, each once."""
    asked = [asked_schema(job.schema, question.kind, plan) for plan in question.plans.values()]
    return AdapterSchema(tuple({spec.name: spec for schema in asked for spec in schema.tensors}.values()))
