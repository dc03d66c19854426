"""When the rounds end before their number: the pooled validation metric has not become better for some rounds.

The state after a round is validated with the replies to the next message, so that after round t what is known ends at
round t - 1. What decides is in the state: a run that is resumed ends where it would have ended.
"""

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


def is_over(state: ServerState, *, rounds: int, patience: int | None) -> bool:
    """Whether only the closing evaluation is left."""
    return state.round >= rounds or stalled(state, patience) is not None
