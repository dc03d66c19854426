import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import get_scheduler

from client.schedule import Schedule, factor, progress

KINDS: tuple[Schedule, ...] = ("constant", "linear", "cosine")
AT = st.floats(0, 1, exclude_max=True)
WARMUP = st.just(0.0) | st.floats(1e-6, 0.9)


@given(st.integers(1, 20), st.integers(1, 20))
def test_progress_goes_on_evenly_from_0_over_all_rounds(rounds: int, steps: int) -> None:
    found = [
        progress(round_number=r, step=s, steps=steps, rounds=rounds) for r in range(1, rounds + 1) for s in range(steps)
    ]
    expected = [i / (rounds * steps) for i in range(rounds * steps)]
    assert found == pytest.approx(expected, abs=1e-12)


@given(AT, WARMUP, st.sampled_from(KINDS))
def test_the_factor_is_between_0_and_1(at: float, warmup: float, kind: Schedule) -> None:
    assert 0 <= factor(at, schedule=kind, warmup_fraction=warmup) <= 1


@given(WARMUP, st.sampled_from(KINDS))
def test_it_rises_to_1_where_the_warm_up_ends(warmup: float, kind: Schedule) -> None:
    assert factor(warmup, schedule=kind, warmup_fraction=warmup) == 1.0
    assert factor(warmup / 2, schedule=kind, warmup_fraction=warmup) == pytest.approx(0.5 if warmup else 1.0)


@given(st.lists(AT, min_size=2, max_size=2), WARMUP, st.sampled_from(KINDS))
def test_it_never_rises_after_the_warm_up(places: list[float], warmup: float, kind: Schedule) -> None:
    first, second = (warmup + (1 - warmup) * place for place in sorted(places))
    values = [factor(at, schedule=kind, warmup_fraction=warmup) for at in (first, min(second, math.nextafter(1, 0)))]
    assert values[0] >= values[1] - 1e-12


def test_linear_and_cosine_end_at_0_and_meet_in_the_middle() -> None:
    end, middle = math.nextafter(1, 0), 0.6  # the middle of what a warm-up of 0.2 leaves
    for kind in ("linear", "cosine"):
        assert factor(end, schedule=kind, warmup_fraction=0.2) == pytest.approx(0, abs=1e-12)
        assert factor(middle, schedule=kind, warmup_fraction=0.2) == pytest.approx(0.5)
    # A quarter on: 1 - 1/4, and (1 + cos(pi/4)) / 2.
    assert factor(0.25, schedule="linear") == pytest.approx(0.75)
    assert factor(0.25, schedule="cosine") == pytest.approx((1 + math.sqrt(0.5)) / 2)


@pytest.mark.parametrize("warmup", [0, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_transformers_schedule_at_every_step_of_the_study(kind: Schedule, warmup: int) -> None:
    """4 rounds of 6 steps against one run of 24, at the 24 rates that steps were taken with."""
    rounds, steps = 4, 6
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    name = "constant_with_warmup" if kind == "constant" else kind
    theirs = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=rounds * steps)
    for number in range(rounds * steps):
        at = progress(round_number=1 + number // steps, step=number % steps, steps=steps, rounds=rounds)
        found = factor(at, schedule=kind, warmup_fraction=warmup / (rounds * steps))
        assert found == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        theirs.step()
