"""The grid of a comparison: strategies x PEFT methods x ways to divide the rows x seeds, as its file says."""

from collections.abc import Mapping
from typing import Annotated, Any, Self  # keys of a study, which the study checks

from pydantic import Field, model_validator

from common.names import NAME
from common.study import Section
from simulations.availability import Availability

RowName = Annotated[str, Field(min_length=1, max_length=60)]
Rates = tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]
Table = Mapping[str, Any]
AS_IN_STUDY = "as in the study"


class StrategyRow(Section):
    """A row of the table: an aggregation strategy, with keys of the study that it changes.

    aggregation: the study's section; its `name` is the row's unless given.
    """

    name: RowName
    aggregation: Table = Field(default_factory=dict)
    learning_rates: Rates = ()
    peft: Table = Field(default_factory=dict)
    training: Table = Field(default_factory=dict)
    federation: Table = Field(default_factory=dict)
    privacy: Table = Field(default_factory=dict)


class MethodRow(Section):
    """A PEFT method; its `peft` replaces the study's, other keys change single ones."""

    name: RowName
    peft: Table
    learning_rates: Rates = ()
    training: Table = Field(default_factory=dict)


class HeterogeneityRow(Section):
    """A way to divide the rows among sites, with keys of the study that go with it."""

    name: RowName
    site_column: str | None = None
    partition: Table | None = None
    federation: Table = Field(default_factory=dict)
    training: Table = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.site_column is not None and self.partition is not None:
            raise ValueError("give site_column or partition, not both")
        return self


class TuningSection(Section):
    """Where learning rates are chosen: on the validation rows of a seed that is not reported."""

    seed: int = Field(default=100, ge=0, lt=2**32, description="of the draws and of the split of the rows")
    rounds: int | None = Field(default=None, ge=1, description="fewer than the study's; absent: as many")


class Grid(Section):
    """A whole grid file.

    learning_rates: candidates for every row without its own; absent: a third of the study's rate, it, and its triple.
    metric: what rows are compared by; absent: the first by which the task chooses. baseline: a strategy's name.
    """

    name: str = Field(pattern=rf"^{NAME.pattern}$")
    description: str = ""
    study: str
    seeds: int = Field(default=5, ge=1)
    metric: str | None = None
    baseline: str = "fedavg"
    learning_rates: Rates = ()
    rounds: int | None = Field(default=None, ge=1)
    tuning: TuningSection = TuningSection()
    strategy: tuple[StrategyRow, ...] = Field(min_length=1)
    method: tuple[MethodRow, ...] = ()
    heterogeneity: tuple[HeterogeneityRow, ...] = ()
    availability: Availability | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for key, rows in (("strategy", self.strategy), ("method", self.method), ("heterogeneity", self.heterogeneity)):
            names = [row.name for row in rows]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"two tables [[{key}]] have the name {twice!r}; give each its own")
        return self
