from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from server.best import better
from server.state import Best

SHARED = {"x": np.float32([1])}
VALUES = st.lists(st.none() | st.sampled_from([0.1, 0.5, 0.9]), min_size=1, max_size=8)


def chosen(rounds: list[dict[str, Any]]) -> Best | None:
    best = None
    for number, pooled in enumerate(rounds, 1):
        best = better(best, round_number=number, pooled=pooled, shared=SHARED)
    return best


@given(VALUES)
def test_the_highest_auroc_wins_and_ties_keep_the_earlier_round(values: list[float | None]) -> None:
    best = chosen([{"auroc": {"value": v}, "log_loss": {"value": None}} for v in values])
    known = [v for v in values if v is not None]
    assert (best and best.round) == (1 + values.index(max(known)) if known else None)


@given(VALUES)
def test_without_auroc_the_lowest_log_loss_wins(values: list[float | None]) -> None:
    best = chosen([{"auroc": {"value": None}, "log_loss": {"value": v}} for v in values])
    known = [v for v in values if v is not None]
    assert (best and best.round) == (1 + values.index(min(known)) if known else None)


def test_a_round_with_auroc_beats_rounds_without_and_is_not_beaten_by_them() -> None:
    losses = {"auroc": {"value": None}, "log_loss": {"value": 0.01}}
    scored = {"auroc": {"value": 0.6}, "log_loss": {"value": 0.7}}
    for rounds in ([losses, scored], [losses, scored, losses]):
        best = chosen(rounds)
        assert best is not None
        assert (best.round, best.metric, best.value) == (2, "auroc", 0.6)


def test_no_metrics_choose_nothing() -> None:
    assert chosen([{}, {"auroc": None}]) is None
