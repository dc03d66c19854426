"""The end of a run: the last state is validated, the adapter to keep is chosen, and its test rows are scored, once."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any  # JSON values

from common.protocol import RoundPlan, Split, SplitEvaluation, at_rank
from common.seeds import generator
from common.state import AdapterState
from server import records
from server.asking import ask
from server.best import better
from server.early_stop import ended_early
from server.events import RunFinished
from server.job import ServerJob
from server.packed_record import PackedRecord, unpacked
from server.session import Question, Results, Session
from server.state import Record, ServerState

_ROUND_RESAMPLES = 200
"""Resamples of the interval of a round's pooled metrics: curves are for looking at, the test metrics are the result."""


@dataclass(frozen=True)
class Outcome:
    """A complete run.

    state: after the last round. adapter: the shared tensors that are kept, those of `kept_round`.
    rounds: one record per round, as in `results.json`. initial: validation before round 1, likewise.
    test: each site's evaluation of the kept adapter. participation: what became of each site when it was asked for it.
    stopped_early: why the rounds ended before their number; None where they did not.
    """

    state: ServerState
    adapter: AdapterState
    kept_round: int
    rounds: tuple[Record, ...]
    initial: Record | None
    test: Mapping[str, SplitEvaluation]
    participation: Mapping[str, Any]
    stopped_early: str | None = None


def close_run(session: Session, state: ServerState) -> Outcome:
    """Validate the last state, choose the adapter and have its test rows scored by every site.

    With `keep = "last"` one message does both. A site that does not answer has no test metrics; no quorum is needed,
    since the adapter is complete. The closing messages are numbered after the study's last round even where rounds
    ended early: sites foresee those numbers and no others, and answer each once.
    """
    job = session.job
    early = ended_early(state, job)
    splits: tuple[Split, ...] = ("validation", "test") if job.keep == "last" else ("validation",)
    results = _evaluate(session, state, state.shared, job.rounds + 1, splits)
    state = validated(job, state, results)
    kept_round, adapter = state.round, state.shared
    if job.keep == "best":
        if state.best is not None:
            kept_round, adapter = state.best.round, state.best.shared
        results = _evaluate(session, state, adapter, job.rounds + 2, ("test",))
    session.record(RunFinished(state.round, kept_round, state.history[-1]["validation"] if state.history else None))
    return Outcome(
        state=state,
        adapter=adapter,
        kept_round=kept_round,
        rounds=tuple(unpacked(record) for record in state.history),
        initial=state.initial,
        test=records.of_split(results, "test"),
        participation=records.participation(results),
        stopped_early=early,
    )


def validated(job: ServerJob, state: ServerState, results: Results) -> ServerState:
    """Return `state` with the validation of its own adapter, which came with the replies to the next message."""
    rng = generator(job.seed, round_number=state.round, purpose="pooled validation")
    resamples = min(job.resamples, _ROUND_RESAMPLES)
    evaluations, one_model = records.of_split(results, "validation"), not (job.schema.private.tensors or job.ranks)
    record = records.validation(evaluations, job.measure, resamples=resamples, rng=rng, one_model=one_model)
    if state.round == 0:
        return replace(state, initial=record)
    best = better(
        state.best,
        round_number=state.round,
        pooled=record["pooled"],
        measure=job.measure,
        sites=tuple(evaluations),
        shared=state.shared,
    )
    complete = PackedRecord.of({**state.history[-1], "validation": record})
    return replace(state, history=(*state.history[:-1], complete), best=best)


def _evaluate(
    session: Session, state: ServerState, shared: AdapterState, number: int, splits: tuple[Split, ...]
) -> Results:
    question = Question(
        kind="evaluate",
        run=state.run,
        round=number,
        shared=shared,
        splits=splits,
        plans={site: at_rank(RoundPlan(), session.job.ranks.get(site)) for site in sorted(session.job.sites)},
        declared=state.examples,
    )
    return ask(session, question)
