from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.metrics.classes import ClassMeasure
from server.best import better
from server.state import Best

SHARED = {"x": np.float32([1])}
VALUES = st.lists(st.none() | st.sampled_from([0.1, 0.5, 0.9]), min_size=1, max_size=8)


def chosen(rounds: list[dict[str, Any]], sites: list[str] | None = None) -> Best | None:
    """`sites`: of each round, one letter a site."""
    best = None
    for number, pooled in enumerate(rounds, 1):
        names = tuple(sites[number - 1]) if sites else ("a", "b")
        best = better(best, round_number=number, pooled=pooled, measure=ClassMeasure(2), sites=names, shared=SHARED)
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


@pytest.mark.parametrize(
    ("sites", "values", "winner"),
    [
        (["abc", "ab", "abc"], [0.5, 0.9, 0.6], 3),  # round 2 lacks c, whose rows may be the hard ones
        (["ab", "abc", "ab"], [0.9, 0.5, 0.95], 2),
        (["ab", "ac"], [0.5, 0.9], 1),  # neither has the other's sites
        (["abc", "ab", "abc"], [0.6, 0.9, 0.5], 1),
    ],
)
def test_rounds_compete_only_over_the_rows_of_the_same_sites(
    sites: list[str], values: list[float], winner: int
) -> None:
    best = chosen([{"auroc": {"value": v}} for v in values], sites)
    assert best is not None
    assert (best.round, best.sites) == (winner, tuple(sites[winner - 1]))
