"""From a grid to studies: who overrides whom, the rates to choose from, and what does not go together."""

from pathlib import Path

import pytest

from common.errors import StudyError
from simulations.catalogue import load
from simulations.compare.cells import Cell, Misfit, cells_of, merged, split_misfits
from simulations.compare.grid import Grid
from simulations.compare.trials import reported_trials, tuning_trials


def grid(**keys: object) -> Grid:
    return Grid.model_validate({"name": "g", "study": "quick", "strategy": [{"name": "fedavg"}], **keys})


def cells(**keys: object) -> list[Cell]:
    return split_misfits(cells_of(grid(**keys), load("quick"), where="g.toml"))[0]


def test_the_product_is_whole_and_made_one_after_the_other() -> None:
    ways = [{"name": "own", "site_column": "site"}, {"name": "iid", "partition": {"name": "iid", "sites": 4}}]
    methods = [{"name": "lora", "peft": {"method": "lora"}}, {"name": "head", "peft": {"method": "head"}}]
    strategies = [{"name": "fedavg"}, {"name": "alike", "aggregation": {"name": "fedavg", "weighting": "uniform"}}]
    made = cells_of(grid(heterogeneity=ways, method=methods, strategy=strategies), load("quick"), where="g")
    first = next(made)
    assert isinstance(first, Cell)
    found = [first, *made]
    assert [(c.heterogeneity, c.method, c.strategy) for c in found] == [
        (way, method, strategy)
        for way in ("own", "iid")
        for method in ("lora", "head")
        for strategy in ("fedavg", "alike")
    ]
    iid = found[-1]
    assert isinstance(iid, Cell)
    assert iid.study.simulation is not None
    assert (iid.study.simulation.site_column, iid.study.peft.method) == (None, "head")
    assert iid.study.aggregation.weighting == "uniform"


def test_a_strategy_has_the_last_word_and_a_method_replaces_the_peft_section() -> None:
    (cell,) = cells(
        strategy=[{"name": "fedavg", "peft": {"rank": 2}, "training": {"batch_size": 4}}],
        method=[{"name": "lora", "peft": {"method": "lora", "rank": 8}, "training": {"batch_size": 2}}],
        rounds=7,
    )
    assert cell.study.peft.options == {"rank": 2}
    assert (cell.study.training.batch_size, cell.study.federation.rounds) == (4, 7)
    assert cell.study.evaluation.resamples == 0


def test_merging_leaves_its_arguments_alone() -> None:
    content, changes = {"a": {"b": 1}}, {"a": {"c": 2}}
    assert merged(content, changes) == {"a": {"b": 1, "c": 2}}
    assert (content, changes) == ({"a": {"b": 1}}, {"a": {"c": 2}})


def test_rates_are_the_strategys_then_the_methods_then_the_grids_then_around_the_studys() -> None:
    own = [{"name": "fedavg", "learning_rates": [0.3, 0.1]}]
    method = [{"name": "lora", "peft": {"method": "lora"}, "learning_rates": [0.2]}]
    assert cells(strategy=own, method=method, learning_rates=[0.4])[0].rates == (0.1, 0.3)
    assert cells(method=method, learning_rates=[0.4])[0].rates == (0.2,)
    assert cells(learning_rates=[0.4])[0].rates == (0.4,)
    rate = load("quick").training.learning_rate
    assert cells()[0].rates == pytest.approx((rate / 3, rate, rate * 3), rel=0.05)


def test_a_combination_that_does_not_go_is_left_out_with_its_reason() -> None:
    ways = [{"name": "own", "site_column": "site"}, {"name": "odd", "partition": {"name": "iid", "sitez": 4}}]
    found, misfits = split_misfits(cells_of(grid(heterogeneity=ways), load("quick"), where="g.toml"))
    assert [cell.heterogeneity for cell in found] == ["own"]
    assert misfits[0] == Misfit("fedavg", "lora", "odd", misfits[0].reason)
    assert "simulation.partition.sites: missing" in misfits[0].reason


def test_a_strategy_that_goes_with_nothing_is_a_mistake() -> None:
    with pytest.raises(StudyError, match="has no option 'eta'"):
        cells(strategy=[{"name": "fedavg"}, {"name": "b", "aggregation": {"name": "fedavg", "eta": 1}}])


def test_seeds_are_draws_and_splits_and_rates_are_chosen_on_neither(tmp_path: Path) -> None:
    chosen = grid(learning_rates=[0.1, 0.2], seeds=3, tuning={"seed": 50, "rounds": 2})
    (cell,) = split_misfits(cells_of(chosen, load("quick"), where="g"))[0]
    tuning, reported = tuning_trials(cell, chosen, ()), reported_trials(cell, 0.2, chosen, ())
    assert [(t.rate, t.study.seed, t.study.evaluation.split_seed, t.study.federation.rounds) for t in tuning] == [
        (0.1, 50, 50, 2),
        (0.2, 50, 50, 2),
    ]
    assert [(t.rate, t.seed, t.study.seed, t.study.evaluation.split_seed) for t in reported] == [
        (0.2, k, k, k) for k in range(3)
    ]
    assert len({trial.digest for trial in [*tuning, *reported]}) == 5
