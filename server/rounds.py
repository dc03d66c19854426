"""The server's side of a run: rounds over a `Grid`, a checkpoint after each, and a closing evaluation.

Flower's own `Strategy.start` cannot resume, has no quorum and no deadline, and holds all replies in memory; so the loop
is ours and Flower carries the messages. What a round needs comes from the state of the one before: a run that is
resumed from a checkpoint sends the same messages as one that was never stopped.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any  # JSON values

from common import wire
from common.carried import check_adapter, split_carried
from common.errors import NotFiniteError, ParticipationError, SchemaError
from common.protocol import at_rank
from common.state import AdapterSchema, AdapterState, norm, subtract
from common.unfreezing import narrowed, patterns_in
from common.wire import FlowerMessage
from server import checkpoint, records
from server.aggregation import Memory
from server.asking import ask
from server.closing import Outcome, close_run, validated
from server.cohort import draw_cohort
from server.diagnostics import diagnose
from server.early_stop import is_over
from server.events import Progress, RoundFinished, RunStarted, RunStopped, ignore, recorder
from server.exchange import SYSTEM_CLOCK, Clock, Exchange, Grid
from server.job import ServerJob
from server.noised_mean import noise_figures, noised_mean, withheld
from server.quorum import needed_replies
from server.roster import find_sites
from server.session import Question, Results, Session, accepted, of_anyone, sent_schemas
from server.state import ServerState

Schemas = Mapping[str, AdapterSchema]
"""Of what each site sent."""


def run_rounds(
    grid: Grid[FlowerMessage],
    job: ServerJob,
    state: ServerState,
    *,
    progress: Progress = ignore,
    clock: Clock = SYSTEM_CLOCK,
    preflight: Callable[[Session], None] | None = None,
) -> Outcome:
    """Run the rounds after `state.round`, to the last or until they stall, then the closing evaluation.

    preflight: what is done before all else.

    Raises:
        ParticipationError: a round stayed below the quorum; the checkpoint holds the last complete one.
    """
    record = recorder(job.folder / "events.jsonl", progress)
    exchange = Exchange(grid, clock)
    finished = _finished(job, state) if state.round else None
    record(RunStarted(state.run, tuple(sorted(job.sites)), state.round, job.rounds, finished))
    if state.round == 0:
        checkpoint.write(job.folder / "checkpoint", state)
    roster = find_sites(
        exchange, job.sites, query=None if job.only_registered else _query, name_of=_name, deadline_s=job.connect_s
    )
    session = Session(job, exchange, roster, record)
    session.spool.drop()
    if preflight is not None:
        preflight(session)
    while not is_over(state, job):
        state = play_round(session, state)
    return close_run(session, state)


def play_round(session: Session, state: ServerState) -> ServerState:
    """Play the round after `state.round` and return the state it makes, which is then the checkpoint."""
    job = session.job
    start = session.exchange.clock.now()
    question = _question(job, state)
    results = ask(session, question)
    _require_quorum(session, state, results)
    state = validated(job, state, results)
    state = _folded(session, state, question, results, start)
    checkpoint.write(job.folder / "checkpoint", state)
    session.spool.drop()
    session.record(_finished(job, state))
    return state


def _question(job: ServerJob, state: ServerState) -> Question:
    number = state.round + 1
    cohort = draw_cohort(job.sites, fraction=job.fraction, seed=job.seed, round_number=number)
    patterns, shared = patterns_in(job.unfreeze, number), job.schema.shared
    planned = {site: job.strategy.plan(number, state.memory, site, shared) for site in cohort}
    plans = {site: narrowed(at_rank(plan, job.ranks.get(site)), patterns, shared) for site, plan in planned.items()}
    return Question(
        kind="train",
        run=state.run,
        round=number,
        shared=state.shared,
        splits=("validation",),
        plans=plans,
        declared=state.examples,
    )


def _require_quorum(session: Session, state: ServerState, results: Results) -> None:
    needed, found = needed_replies(session.job.quorum, len(results)), len(accepted(results))
    if found >= needed:
        return
    missing = [f"{site} {r.status} ({r.reason})" for site, r in sorted(results.items()) if r.status != "accepted"]
    reason = (
        f"round {state.round + 1}: {found} of {len(results)} sites sent an accepted reply, {needed} are needed: "
        f"{', '.join(missing[:10])}{' and others' if len(missing) > 10 else ''}. "
        f"Round {state.round} is in the checkpoint; resume the run when the sites are back"
    )
    session.record(RunStopped(state.round, reason))
    raise ParticipationError(reason)


def _folded(session: Session, state: ServerState, question: Question, results: Results, start: float) -> ServerState:
    """Fold the spooled updates, in the order of site names, into the next state."""
    job, clock, number = session.job, session.exchange.clock, state.round + 1
    folding = clock.now()
    schemas = sent_schemas(job, question, results)
    shared, memory, noise = _stepped(session, state, question, schemas)
    _require_finite(session, state, shared)
    looking = clock.now()
    found = _diagnosed(session, state, results, schemas)
    end = clock.now()
    spent = records.seconds(results, total=end - start, aggregate=looking - folding, diagnose=end - looking)
    record = {
        "round": number,
        "seconds": spent,
        "participation": records.participation(results),
        "train": records.training(results),
        "validation": None,
        "diagnostics": {
            "aggregated_norm": norm(subtract(split_carried(shared)[0], state.shared)),
            **noise,
            **found,
        },
    }
    return replace(
        state,
        round=number,
        shared=shared,
        memory=memory,
        examples={**records.examples(results), **state.examples},
        history=(*state.history, record),
        spent=state.spent if job.site_rule is None else job.site_rule.spent_after(state.spent),
    )


def _stepped(
    session: Session, state: ServerState, question: Question, schemas: Schemas
) -> tuple[AdapterState, Memory, dict[str, float]]:
    """Return the next adapter and memory, and figures of the noise; the mean, in float64, is gone when this returns."""
    job = session.job
    updates = session.spool.updates(state.round + 1, schemas)
    if job.site_rule is None:
        mean = job.strategy.combine(updates, state.shared)
    else:
        mean = noised_mean(updates, job.site_rule, of_anyone(job, question), job.noise)
    return *job.strategy.step(state.shared, mean, state.memory), noise_figures(job.site_rule, mean)


def _diagnosed(session: Session, state: ServerState, results: Results, schemas: Schemas) -> dict[str, Any]:
    if session.job.site_rule is not None:
        return withheld()
    norms = records.update_norms(results)
    found = diagnose(partial(session.spool.parts, state.round + 1, schemas), state.shared, norms)
    return {"update_norms": norms, **found.to_json()}


def _require_finite(session: Session, state: ServerState, shared: AdapterState) -> None:
    """Stop where sums of accepted updates have left float32: the checkpoint holds the round before."""
    try:
        check_adapter(shared, session.job.schema.shared)
    except NotFiniteError as error:
        reason = (
            f"round {state.round + 1} makes an adapter that is not finite ({error}): some site's update is far too "
            f"large. Round {state.round} is in the checkpoint; set aggregation.norm_bound, or leave that site out"
        )
        session.record(RunStopped(state.round, reason))
        raise ParticipationError(reason) from None


def _finished(job: ServerJob, state: ServerState) -> RoundFinished:
    """Return what is said of the last complete round."""
    record, before = state.history[-1], state.history[-2] if state.round > 1 else None
    validation = state.initial if before is None else before["validation"]
    return RoundFinished(state.round, job.rounds, {**record, "validation": None}, validation)


def _query(node: int) -> FlowerMessage:
    return wire.message(wire.encode_query(), kind="query", node=node, round_number=0)


def _name(reply: FlowerMessage) -> str:
    failure = wire.failure_of(reply)
    if failure is not None:
        raise SchemaError(f"a node does not say its name: {failure}")
    return wire.decode_name(reply.content)
