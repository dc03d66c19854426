"""What a plan may say beyond the plain plan: known names, two and two, with values in their ranges."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.plan_extras import MAX_PENALTY, check_extras
from common.errors import RefusedError

TURN = {"rotation": 0.5, "rotate_b": 1.0}
TAIL = {"tail_penalty": 0.1, "tail_share": 0.5}


@pytest.mark.parametrize("extra", [{}, TURN, TAIL, {**TURN, **TAIL}, {"rotation": 0.0, "rotate_b": 0.0}])
def test_what_is_known_is_honoured(extra: dict[str, float]) -> None:
    check_extras(extra)


@pytest.mark.parametrize(
    "extra",
    [
        {"share": 1.0},
        {**TURN, "": 0.0},
        {"rotation": 0.5},
        {"rotate_b": 1.0},
        {"tail_share": 0.5},
        {**TURN, "rotate_b": 0.5},
        {**TURN, "rotate_b": math.nan},
        {**TAIL, "tail_penalty": 2 * MAX_PENALTY},
    ],
)
def test_anything_else_is_refused(extra: dict[str, float]) -> None:
    with pytest.raises(RefusedError, match="MALFORMED_REQUEST"):
        check_extras(extra)


@given(value=st.floats(), name=st.sampled_from(["rotation", "tail_share"]))
def test_a_share_is_from_0_to_1(value: float, name: str) -> None:
    if 0 <= value <= 1:
        check_extras({**TURN, **TAIL, name: value})
    else:
        with pytest.raises(RefusedError):
            check_extras({**TURN, **TAIL, name: value})
