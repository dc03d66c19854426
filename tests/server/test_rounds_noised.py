"""Whole runs with site-level privacy: noise, dropouts, the ledger, its end, and what is not told."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from common.errors import RefusedError
from common.privacy._accounting import Spending, epsilon_of
from common.privacy.site_dp import SiteRule
from common.protocol import Answer, Reply, Request
from common.state import digest_state, norm, subtract
from server import checkpoint
from server.aggregation.fedadam import FedAdam
from server.closing import Outcome
from server.events import Event, RoundFinished

MakeLab = Callable[..., Any]
SIZE = 10
"""Numbers of the lab's shared tensors."""


def rule(**changes: Any) -> SiteRule:
    return SiteRule(**{"clip_norm": 1.0, "noise_multiplier": 1.0, "divisor": 4.0, "delta": 1e-5, **changes})


def wide(sites: int = 4) -> SiteRule:
    """One that clips nothing."""
    return rule(clip_norm=1e6, divisor=float(sites))


def silent(size: int) -> np.ndarray:
    return np.zeros(size)


def absent(reply: Reply, request: Request) -> Answer:
    if request.kind == "train":
        raise RefusedError("TRAINING_FAILED")
    return reply


@pytest.mark.parametrize("changes", [{}, {"strategy": FedAdam()}])
def test_without_clipping_and_noise_a_run_is_the_plain_one(lab: MakeLab, changes: dict[str, Any]) -> None:
    plain = lab(4, folder="a").run(weighting="uniform", **changes)
    found = lab(4, folder="b").run(site_rule=wide(), noise=silent, **changes)
    assert digest_state(found.adapter) == digest_state(plain.adapter)


def test_a_site_that_is_away_counts_as_zero_and_the_noise_stays(lab: MakeLab) -> None:
    """Targets 1, 2, 3: half of the way from 0 and 1 of two of three sites, over three."""
    made = lab(3, site_c=absent)
    found = made.run(site_rule=wide(3), noise=silent, rounds=1)
    before = made.start().shared
    moved = subtract(found.adapter, before)
    np.testing.assert_allclose(moved["a.weight"], (0.5 + 1.0) / 3, rtol=1e-6)
    np.testing.assert_allclose(moved["b.bias"], (0.0 + 0.5) / 3, rtol=1e-6)
    told = [
        lab(3, folder=f, **c).run(site_rule=rule(divisor=3.0), rounds=1)
        for f, c in (("b", {}), ("c", {"site_c": absent}))
    ]
    lengths = [outcome.rounds[0]["diagnostics"]["noise_norm"] for outcome in told]
    assert lengths == [pytest.approx(1.0 * 1.0 / 3 * np.sqrt(SIZE))] * 2


def test_no_site_moves_a_round_by_more_than_the_sensitivity(lab: MakeLab) -> None:
    by = rule(clip_norm=0.3, divisor=4.0)
    with_all = lab(4, folder="a").run(site_rule=by, noise=silent, rounds=1)
    without = lab(4, folder="b", site_d=absent).run(site_rule=by, noise=silent, rounds=1)
    moved = norm(subtract(with_all.adapter, without.adapter))
    assert moved == pytest.approx(by.sensitivity, rel=1e-5)  # its update is clipped, and near enough the others'


def test_the_noise_of_a_run_differs_from_run_to_run(lab: MakeLab) -> None:
    first, second = (lab(4, folder=f).run(site_rule=rule()) for f in "ab")
    assert digest_state(first.adapter) != digest_state(second.adapter)
    seeded = [lab(4, folder=f).run(site_rule=rule(), noise=np.random.default_rng(3).standard_normal) for f in "cd"]
    assert digest_state(seeded[0].adapter) == digest_state(seeded[1].adapter)


def test_the_ledger_is_in_the_checkpoint_with_every_round(lab: MakeLab) -> None:
    made = lab(4)
    seen: list[tuple[int, tuple[Spending, ...]]] = []

    def progress(event: Event) -> None:
        if isinstance(event, RoundFinished):
            seen.append((event.round, read(made).spent))

    outcome = made.run(site_rule=rule(), progress=progress)
    assert seen == [(n, (Spending(1.0, 1.0, n),)) for n in (1, 2, 3)]
    assert outcome.state.spent == (Spending(1.0, 1.0, 3),)


def read(made: Any) -> Any:
    return checkpoint.read(made.folder / "checkpoint", study=made.job().study, seed=7)


class Killed(Exception):
    """What ends a run from outside."""


def test_a_server_killed_before_its_checkpoint_draws_new_noise_and_counts_the_round_once(lab: MakeLab) -> None:
    """Between fold and checkpoint nothing has left: the sites' next question carries what the second fold made."""
    made, rng = lab(4), np.random.default_rng(0)
    drawn: list[np.ndarray] = []

    def dying(size: int) -> np.ndarray:
        drawn.append(rng.standard_normal(size))
        if len(drawn) == 4:  # the last tensor of round 2
            raise Killed
        return drawn[-1]

    with pytest.raises(Killed):
        made.run(site_rule=rule(), noise=dying)
    state = read(made)
    assert (state.round, state.spent) == (1, (Spending(1.0, 1.0, 1),))
    outcome = made.run(state, site_rule=rule(), noise=rng.standard_normal)
    assert outcome.state.spent == (Spending(1.0, 1.0, 3),)
    asked = [request for request in made.sites["site-a"].asked if request.round == 3]
    assert {digest_state(request.shared) for request in asked} == {digest_state(asked[0].shared)}


def test_the_rounds_end_cleanly_where_the_budget_does(lab: MakeLab) -> None:
    budget = epsilon_of([Spending(1.0, 1.0, 2)], delta=1e-5)
    made = lab(4)
    outcome: Outcome = made.run(site_rule=rule(budget=budget * (1 + 1e-9)), rounds=5)
    assert outcome.state.round == outcome.kept_round == 2
    assert outcome.state.spent == (Spending(1.0, 1.0, 2),)
    assert outcome.stopped_early is not None
    assert (
        "one more round would spend epsilon 8.385 at delta 1e-05, above privacy.epsilon = 6.57" in outcome.stopped_early
    )
    assert outcome.test


def test_nothing_is_told_of_single_updates(lab: MakeLab) -> None:
    outcome = lab(4).run(site_rule=rule())
    for record in outcome.rounds:
        found = record["diagnostics"]
        assert found["update_norms"] == found["cosines"] == {}
        assert [found[key] for key in ("aggregation_error", "drift", "pairwise_cosine", "effective_rank")] == [None] * 4
        assert set(found["reasons"]) >= {"update_norms", "cosines", "drift"}
        assert found["aggregated_norm"] == pytest.approx(found["noised_norm"], rel=1e-5)
    json.dumps(outcome.rounds, allow_nan=False)


@pytest.mark.parametrize("fraction", [0.5, 0.75])
def test_a_drawn_cohort_has_its_own_fixed_number(lab: MakeLab, fraction: float) -> None:
    by = rule(clip_norm=1e6, divisor=4 * fraction)
    plain = lab(4, folder="a").run(weighting="uniform", fraction=fraction)
    found = lab(4, folder="b").run(site_rule=by, noise=silent, fraction=fraction)
    assert digest_state(found.adapter) == digest_state(plain.adapter)
    assert found.state.spent == (Spending(1.0, 1.0, 3),)


def test_weights_are_capped_whatever_a_site_says_of_its_examples(lab: MakeLab) -> None:
    """Examples 10, 20, 30, 40 with a cap of 20: (10 u_a + 20 (u_b + u_c + u_d)) / 80 from zero, u = 0.5, 1, 1.5, 2."""
    by = rule(clip_norm=1e6, weight_cap=20, divisor=80.0)
    made = lab(4)
    found = made.run(site_rule=by, noise=silent, rounds=1)
    moved = subtract(found.adapter, made.start().shared)
    np.testing.assert_allclose(moved["a.weight"], (10 * 0.5 + 20 * (1 + 1.5 + 2)) / 80, rtol=1e-6)


def test_by_default_a_job_adds_nothing_and_its_noise_is_the_systems(lab: MakeLab) -> None:
    job = lab(1).job()
    assert job.site_rule is None
    first, second = job.noise(50_000), job.noise(50_000)
    assert not np.intersect1d(first, second).size
    assert abs(first.std() - 1) < 4 / np.sqrt(2 * 50_000)
