from dataclasses import replace

import pytest

from common.metrics.types import Metric
from simulations.audit.verdict import Check, overall


def check(value: float | None, low: float | None = None, high: float | None = None) -> Check:
    return Check("membership_auc", "AUC", "all sites", Metric(value, 100, low, high), 0.5, 0.6, units=100)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (check(0.7, 0.65, 0.75), "fail"),
        (check(0.7, 0.55, 0.85), "fail"),  # beyond the threshold, and not by chance
        (check(0.7, 0.45, 0.95), "inconclusive"),  # chance could do that
        (check(0.52, 0.47, 0.57), "pass"),
        (check(0.52, 0.41, 0.63), "inconclusive"),
        (check(0.58, 0.55, 0.61), "inconclusive"),
        (check(0.52), "inconclusive"),  # without an interval nothing is known
        (check(0.9), "inconclusive"),
        (check(None), "not measured"),
    ],
)
def test_a_verdict_needs_its_interval(made: Check, expected: str) -> None:
    assert made.verdict == expected


def test_a_known_probability_stands_in_for_the_interval() -> None:
    assert replace(check(0.9), probability=0.001).verdict == "fail"
    assert replace(check(0.9, 0.8, 1.0), probability=0.2).verdict == "inconclusive"


def test_so_many_units_would_decide_it() -> None:
    # 0.52 with half a width of 0.16 above it: 0.08 are left, half as much, which takes four times the rows.
    assert check(0.52, 0.36, 0.68).units_needed in (400, 401)  # rounding
    # 0.7 with 0.4 below it, of which 0.2 are left to chance.
    assert check(0.7, 0.3, 0.9).units_needed in (400, 401)
    assert check(0.52, 0.47, 0.57).units_needed is None
    assert check(0.52).units_needed is None


def test_a_fail_anywhere_is_one_and_a_pass_needs_what_leads() -> None:
    good, bad, open_ = check(0.52, 0.47, 0.57), check(0.7, 0.65, 0.75), check(0.52, 0.41, 0.63)
    assert overall([good, good]) == "pass"
    assert overall([good, replace(open_, leading=False)]) == "pass"
    assert overall([good, replace(bad, leading=False)]) == "fail"
    assert overall([good, open_]) == "inconclusive"
    assert overall([good, check(None)]) == "pass"
    assert overall([check(None)]) == "not measured"
    assert overall([]) == "not measured"
