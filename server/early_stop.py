"""When the rounds end before their number: no better pooled validation metric for some rounds, or no privacy budget.

The state after a round is validated with the replies to the next message, so that after round t what is known ends at
round t - 1. What decides is in the state: a run that is resumed ends where it would have ended.
"""

from common.privacy.site_dp import SiteRule
from server.job import ServerJob
from server.state import ServerState


def stalled(state: ServerState, patience: int | None) -> str | None:
    """Return why the rounds end after this state, or None where they go on.

    patience: rounds in a row, each no better than the best one before; None never ends them. Without any pooled metric
    there is no best round, and nothing ends early either.
    """
    best = state.best
    if patience is None or best is None or state.round - 1 - best.round < patience:
        return None
    return (
        f"pooled {best.metric} was not better than round {best.round}'s {best.value:.4g} "
        f"in rounds {best.round + 1} to {state.round - 1} (federation.patience = {patience})"
    )


def spent_up(state: ServerState, rule: SiteRule | None) -> str | None:
    """Return why no round can be paid after this state, or None where one can.

    A study whose rounds spend more is refused when it is checked; this is for whoever plays other rounds.
    """
    if rule is None or rule.can_pay(state.spent):
        return None
    spent, after = rule.epsilon_of(state.spent), rule.epsilon_of(rule.spent_after(state.spent))
    return (
        f"one more round would spend epsilon {after:.4g} at delta {rule.delta:g}, above privacy.epsilon = "
        f"{rule.budget:g}; the rounds played have spent {spent:.4g}"
    )


def ended_early(state: ServerState, job: ServerJob) -> str | None:
    """Return why the rounds end after this state, before their number; None where they do not."""
    if state.round >= job.rounds:
        return None
    return stalled(state, job.patience) or spent_up(state, job.site_rule)


def is_over(state: ServerState, job: ServerJob) -> bool:
    """Whether only the closing evaluation is left."""
    return state.round >= job.rounds or ended_early(state, job) is not None
