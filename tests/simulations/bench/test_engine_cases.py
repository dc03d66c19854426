"""The cases on a tiny model: what is measured is the same training, however it is grouped."""

from dataclasses import replace

import numpy as np

from client.recipe import Recipe
from simulations.bench import engine_cases
from simulations.bench.contenders import opened
from simulations.bench.engine_cases import Case, over_one_by_one, packed_over_padded
from simulations.bench.group_members import afresh, members_of, random_members
from simulations.engine.group import train_group
from simulations.engine.plan import Wanted
from simulations.engine.replica import replica_of


def test_a_case_trains_the_same_in_a_group_and_one_by_one() -> None:
    with opened("fp32", Wanted(clients=1), study="quick") as sites:
        case = Case(sites.bench, members_of(sites, steps=2))
        case.one_by_one()
        last = case.bench.read()
        outcomes = train_group(replica_of(case.bench), afresh(case.members), case._execution, packs=True)
    for name, array in outcomes[case.members[-1].name].state.items():
        np.testing.assert_allclose(array, last[name], atol=1e-5)


def test_figures_of_a_case() -> None:
    with opened("fp32", Wanted(clients=1), study="quick") as sites:
        recipe = Recipe(learning_rate=1e-3, batch_size=4)
        case = Case(sites.bench, random_members(sites.bench, 3, recipe, engine_cases.TINY_LENGTHS))
        assert [member.steps for member in case.members] == [1, 1, 1]
        found = {
            **over_one_by_one(replace(case, workers=2), "x_over_y", 1),
            **packed_over_padded(case, 1),
        }
    assert {"x_over_y", "engine_packed_over_padded"} <= set(found)
    assert all(value > 0 for value in found.values())
