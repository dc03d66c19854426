"""What every file of `common/privacy` keeps: a promise that says what it depends on, and a sensitivity that holds.

The sensitivity of a mechanism for sites is tried on the server's very mean. That of one for patients is of gradients,
which are the site's: `tests/client` tries it there.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from common import plugins
from common.privacy.site_dp import SiteRule
from common.protecting import KEY, PACKAGE, mechanism_of
from common.state import AdapterSchema, norm, subtract
from common.study import Study
from server.aggregation import ClientUpdate
from server.aggregation.fedavg import FedAvg
from server.noised_mean import noised_mean, rule_of

NAMES = plugins.available(PACKAGE)
OPTIONS: dict[str, list[tuple[str, ...]]] = {
    "site-dp": [
        ("aggregation.weighting=uniform",),
        ("aggregation.weighting=uniform", "privacy.clip_norm=0.3", "privacy.noise_multiplier=2.0"),
        ("privacy.weight_cap=40", "privacy.epsilon=3.0"),
        ("privacy.weight_cap=40", "privacy.weight_total=70.0", "federation.fraction=0.7"),
    ],
}
"""What a study has beside the mechanism's name; a mechanism that is not here is tried as it is."""
CASES = [(name, settings) for name in NAMES for settings in OPTIONS.get(name, [()])]
FOR_SITES = [case for case in CASES if plugins.load(PACKAGE, case[0], key=KEY).build.unit == "site"]
ALL = pytest.mark.parametrize(("name", "settings"), CASES)
SITES = pytest.mark.parametrize(("name", "settings"), FOR_SITES)
SEEDS = st.integers(0, 2**32 - 1)
COUNTS = st.lists(st.integers(1, 500), min_size=1, max_size=6)
SHAPES = st.lists(st.lists(st.integers(1, 5), max_size=3).map(tuple), min_size=1, max_size=4)
Make = Callable[..., Study]


def silent(size: int) -> NDArray[np.float64]:
    """No noise at all, to see the mean that it is added to."""
    return np.zeros(size)


def rule(make: Make, name: str, settings: Sequence[str], sites: int = 4) -> SiteRule:
    found = rule_of(make(f"privacy.mechanism={name}", *settings), sites)
    assert found is not None
    return found


def updates(rng: np.random.Generator, counts: Sequence[int], shapes: Sequence[tuple[int, ...]]) -> list[ClientUpdate]:
    """Updates of lengths from 1e-3 to 1e3."""
    found = []
    for k, examples in enumerate(counts):
        scale = 10 ** rng.uniform(-3, 3)
        state = {f"t{i}": np.asarray(scale * rng.normal(size=s), np.float32) for i, s in enumerate(shapes)}
        found.append(ClientUpdate(f"site-{k}", state, examples, float(examples)))
    return found


def mean_of(clients: Sequence[ClientUpdate], by: SiteRule) -> Mapping[str, NDArray[np.float64]]:
    return noised_mean(clients, by, AdapterSchema.of(clients[0].update), silent).update


def times(client: ClientUpdate, factor: float) -> ClientUpdate:
    return replace(client, update={n: np.asarray(factor * a, np.float32) for n, a in client.update.items()})


@ALL
def test_a_promise_says_what_it_depends_on(name: str, settings: tuple[str, ...], make_study: Make) -> None:
    study = make_study(f"privacy.mechanism={name}", *settings)
    mechanism = mechanism_of(study)
    found = mechanism.guarantee(study)
    assert (found is None) == (mechanism.unit is None)
    if found is None:
        return
    json.dumps(found, allow_nan=False)
    assert (found["mechanism"], found["unit"], found["rounds"]) == (name, mechanism.unit, study.federation.rounds)
    assert {"epsilon", "delta", "accountant", "clip_norm", "noise_multiplier"} <= set(found)
    assert found["epsilon"] is None or found["epsilon"] > 0
    assert 0 < found["delta"] < 1 / len(study.federation.sites)


@SITES
@given(seed=SEEDS, counts=COUNTS, shapes=SHAPES, factor=st.floats(-3, 3))
def test_one_site_moves_the_mean_by_no_more_than_the_sensitivity(
    name: str, settings: tuple[str, ...], make_study: Make, seed: int, counts: list[int], shapes: list, factor: float
) -> None:
    rng, by = np.random.default_rng(seed), rule(make_study, name, settings)
    clients = updates(rng, counts, shapes)
    k = int(rng.integers(len(clients)))
    whole, most = mean_of(clients, by), by.sensitivity * (1 + 1e-6)
    zeroed = mean_of([*clients[:k], times(clients[k], 0), *clients[k + 1 :]], by)
    assert norm(subtract(whole, zeroed)) <= most
    if len(clients) > 1:
        away = mean_of([*clients[:k], *clients[k + 1 :]], by)
        assert norm(subtract(away, zeroed)) <= 1e-12 * by.sensitivity * len(clients)
    other = mean_of([*clients[:k], replace(times(clients[k], factor), examples=10**6), *clients[k + 1 :]], by)
    turned = mean_of([*clients[:k], times(clients[k], -1), *clients[k + 1 :]], by)
    assert norm(subtract(whole, other)) <= 2 * most
    assert norm(subtract(whole, turned)) <= 2 * most


@SITES
def test_the_sensitivity_is_reached(name: str, settings: tuple[str, ...], make_study: Make) -> None:
    """A long update of a large site: a sensitivity that is larger than need be costs noise for nothing."""
    by = rule(make_study, name, settings)
    big = ClientUpdate("a", {"x": np.full((3, 5), 7, np.float32)}, 10**6, 1e6)
    assert norm(mean_of([big], by)) == pytest.approx(by.sensitivity, rel=1e-6)


@SITES
@given(seed=SEEDS, counts=COUNTS, shapes=SHAPES)
def test_the_order_of_sites_and_their_own_weights_change_nothing(
    name: str, settings: tuple[str, ...], make_study: Make, seed: int, counts: list[int], shapes: list
) -> None:
    rng, by = np.random.default_rng(seed), rule(make_study, name, settings)
    clients = updates(rng, counts, shapes)
    before = [(c, {n: a.copy() for n, a in c.update.items()}) for c in clients]
    mixed = [replace(clients[i], weight=1e9) for i in rng.permutation(len(clients))]
    found, expected = mean_of(mixed, by), mean_of(clients, by)
    for tensor in expected:
        np.testing.assert_allclose(found[tensor], expected[tensor], rtol=1e-9, atol=1e-12)
    assert all(np.array_equal(c.update[n], a) for c, kept in before for n, a in kept.items())


@SITES
def test_an_update_of_zero_survives(name: str, settings: tuple[str, ...], make_study: Make) -> None:
    zero = ClientUpdate("a", {"x": np.zeros((2, 3), np.float32), "y": np.zeros((), np.float32)}, 5, 5.0)
    found = mean_of([zero, replace(zero, site="b")], rule(make_study, name, settings))
    assert {n: a.tolist() for n, a in found.items()} == {"x": [[0.0] * 3] * 2, "y": 0.0}


@SITES
@given(seed=SEEDS, counts=st.lists(st.integers(1, 500), min_size=2, max_size=9), shapes=SHAPES)
def test_without_clipping_and_noise_it_is_fedavg(
    name: str, settings: tuple[str, ...], make_study: Make, seed: int, counts: list[int], shapes: list
) -> None:
    """Everybody answers, the clip is never reached, and the divisor is the sum of the weights."""
    clients = updates(np.random.default_rng(seed), counts, shapes)
    chosen = rule(make_study, name, settings, len(counts))
    if chosen.weight_cap is None:
        clients = [replace(c, weight=1.0) for c in clients]
        by = replace(chosen, clip_norm=1e15, divisor=len(clients))
    else:
        by = replace(chosen, clip_norm=1e15, weight_cap=500, divisor=sum(counts))
    found, expected = mean_of(clients, by), FedAvg().combine(clients, {}).update
    assert all(np.array_equal(found[tensor], expected[tensor]) for tensor in expected)


@SITES
def test_the_noise_has_the_standard_deviation_that_is_promised(
    name: str, settings: tuple[str, ...], make_study: Make
) -> None:
    """Of N numbers it is estimated to sigma / sqrt(2 N), of the mean to sigma / sqrt(N)."""
    by, rng, count = rule(make_study, name, settings), np.random.default_rng(0), 200_000
    zero = ClientUpdate(
        "a", {"x": np.zeros((count // 4, 2), np.float32), "y": np.zeros(count // 2, np.float32)}, 5, 5.0
    )
    found = noised_mean([zero], by, AdapterSchema.of(zero.update), rng.standard_normal).update
    values = np.concatenate([found["x"].ravel(), found["y"]])
    promised = by.noise_multiplier * by.sensitivity
    assert abs(values.std() - promised) <= 3 * promised / np.sqrt(2 * count)
    assert abs(values.mean()) <= 3 * promised / np.sqrt(count)
    assert norm(found) == pytest.approx(by.noise_norm(count), rel=0.01)
