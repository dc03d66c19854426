"""From a grid to studies: every strategy with every method and every way to divide the rows, one after the other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any  # a study as JSON

from common.errors import StudyError
from common.study import Study
from common.study_file import check_study
from simulations.compare.grid import AS_IN_STUDY, Grid, HeterogeneityRow, MethodRow, StrategyRow

FACTORS = (1 / 3, 1.0, 3.0)


@dataclass(frozen=True)
class Cell:
    """One combination, by the names of its rows, with its study before seeds and rate; `rates` to choose from."""

    strategy: str
    method: str
    heterogeneity: str
    study: Study
    rates: tuple[float, ...]

    @property
    def name(self) -> str:
        """Its place in words."""
        return f"{self.strategy}, {self.method}, {self.heterogeneity}"


@dataclass(frozen=True)
class Misfit:
    """A combination that the study's check refuses, and its reason."""

    strategy: str
    method: str
    heterogeneity: str
    reason: str


def cells_of(grid: Grid, study: Study, *, where: str) -> Iterator[Cell | Misfit]:
    """Yield every combination, row by row."""
    methods: tuple[MethodRow | None, ...] = grid.method or (None,)
    ways: tuple[HeterogeneityRow | None, ...] = grid.heterogeneity or (None,)
    for way, method, strategy in product(ways, methods, grid.strategy):
        names = strategy.name, method.name if method else study.peft.method, way.name if way else AS_IN_STUDY
        try:
            content = _content(grid, study, strategy, method, way)
            chosen = check_study(content, where=f"{where}: strategy {names[0]!r}, {names[1]}, {names[2]}")
            yield Cell(*names, chosen, _rates(grid, strategy, method, chosen))
        except StudyError as error:
            yield Misfit(*names, str(error))


def split_misfits(found: Iterator[Cell | Misfit]) -> tuple[list[Cell], list[Misfit]]:
    """Return the cells, and the combinations that do not go; a strategy that goes with nothing is a StudyError."""
    every = list(found)
    cells = [each for each in every if isinstance(each, Cell)]
    misfits = [each for each in every if isinstance(each, Misfit)]
    usable = {cell.strategy for cell in cells}
    for misfit in misfits:
        if misfit.strategy not in usable:
            raise StudyError(misfit.reason)
    return cells, misfits


def _content(
    grid: Grid, study: Study, strategy: StrategyRow, method: MethodRow | None, way: HeterogeneityRow | None
) -> dict[str, Any]:
    """Return the study with what the way, the method and the strategy change, in this order."""
    content = study.model_dump(mode="json")
    content["evaluation"] |= {"resamples": 0, "learning_rates": {}}
    if grid.rounds is not None:
        content["federation"]["rounds"] = grid.rounds
    if way is not None:
        content = merged(content, {"federation": way.federation, "training": way.training})
        content["simulation"] |= _division(way)
    if method is not None:
        content = merged({**content, "peft": dict(method.peft)}, {"training": method.training})
    content["aggregation"] = {"name": strategy.name, **strategy.aggregation}
    changes = {key: getattr(strategy, key) for key in ("peft", "training", "federation", "privacy")}
    return merged(content, changes)


def _division(way: HeterogeneityRow) -> dict[str, Any]:
    if way.partition is not None:
        return {"partition": dict(way.partition), "site_column": None}
    return {} if way.site_column is None else {"site_column": way.site_column, "partition": None}


def merged(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `content` with the keys of `changes` in place of its own, tables within tables likewise.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}})
    {'a': {'b': 1, 'c': 3}}
    """
    result = dict(content)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def _rates(grid: Grid, strategy: StrategyRow, method: MethodRow | None, study: Study) -> tuple[float, ...]:
    """Return the candidates, lowest first: the strategy's own, else the method's, else the grid's."""
    own = strategy.learning_rates or (method.learning_rates if method else ()) or grid.learning_rates
    around = tuple(float(f"{study.training.learning_rate * factor:.2g}") for factor in FACTORS)
    return tuple(sorted(set(own or around)))
