"""`evaluation` of a study: how rows are split and scored, and what more is said of them once, at the end.

What is said at the end is for who judges the adapter: who the patients are (`cohort`), how it does in parts of them
(`subgroups`), how its probabilities fit each site (`recalibration`). A site lets it out only if its own policy does.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self  # a dumped study is JSON

from pydantic import BaseModel, Field, field_validator, model_validator

from common.data_schema import FROZEN, Column, DataSection, NumberColumn, TextColumn
from common.errors import StudyError
from common.protecting import mechanism_of

if TYPE_CHECKING:
    from common.study import Study

Fraction = Annotated[float, Field(gt=0, lt=1)]
LEAST_CELL: Final = 3
"""Below it a hidden cell could be worked out from its neighbours and the total: see `common.cohort_statistics`."""


class LearningRates(BaseModel):
    """Learning rates of the comparison's other budgets, each chosen on validation rows; absent: the federated one."""

    model_config = FROZEN
    local: float | None = Field(default=None, gt=0)
    central: float | None = Field(default=None, gt=0)
    personalised: float | None = Field(default=None, gt=0)


class EvaluationSection(BaseModel):
    """How rows are split, by a hash of the patient id, which round's adapter is kept, and what is said at the end."""

    model_config = FROZEN
    validation_fraction: Fraction = 0.15
    test_fraction: Fraction = 0.25
    split_seed: int = Field(default=0, ge=0)
    keep: Literal["best", "last"] = "last"
    resamples: int = Field(default=1000, ge=0, le=100_000)
    learning_rates: LearningRates = LearningRates()
    cohort: bool = Field(default=False, description="counts and sums that describe each site's patients")
    recalibration: bool = Field(default=False, description="calibration before and after a map fitted at each site")
    subgroups: tuple[str, ...] = Field(default=(), description="columns by whose values test rows are scored in parts")
    subgroup_cuts: Mapping[str, tuple[float, ...]] = Field(default_factory=dict)
    small_cell: int = Field(default=10, ge=0, le=10_000, description="fewer patients than this are not told of")

    @field_validator("small_cell")
    @classmethod
    def _hides_or_not(cls, value: int) -> int:
        if 0 < value < LEAST_CELL:
            raise ValueError(f"a cell is hidden among at least {LEAST_CELL} patients, or, with 0, not at all")
        return value

    @model_validator(mode="after")
    def _room_for_training(self) -> Self:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction + test_fraction leave no rows to train on")
        return self

    @model_validator(mode="after")
    def _cuts_fit(self) -> Self:
        if len(set(self.subgroups)) != len(self.subgroups):
            raise ValueError("subgroups must differ from each other")
        for name, cuts in self.subgroup_cuts.items():
            if name not in self.subgroups:
                raise ValueError(f"subgroup_cuts names {name!r}, which is not among subgroups")
            if not cuts or any(low >= high for low, high in pairwise(cuts)):
                raise ValueError(f"subgroup_cuts.{name} must be numbers that ascend, found {list(cuts)}")
        return self

    @property
    def asks_more(self) -> bool:
        """Whether more than metrics of all test rows is asked for at the end."""
        return self.cohort or self.recalibration or bool(self.subgroups)


NOTHING_MORE: Final = EvaluationSection()
"""Asks at the end for metrics of all test rows, and no more."""


def digested(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dumped section as it is in the study's digest.

    What is asked for at the end is in it where it is asked for: a study that asks for none has the digest that it had
    before there was any of it.
    """
    plain = NOTHING_MORE.model_dump(mode="json")
    later = {"cohort", "recalibration", "subgroups", "subgroup_cuts", "small_cell"}
    return {key: value for key, value in content.items() if key not in later or value != plain[key]}


def check_subgroups(evaluation: EvaluationSection, data: DataSection) -> None:
    """Raise ValueError where a subgroup's column is not there, is free text, or is a number that nothing cuts.

    No rows choose the cuts: they would tell of them, and would differ from site to site.
    """
    for name in evaluation.subgroups:
        column = data.columns.get(name)
        if column is None or isinstance(column, TextColumn):
            known = [key for key, each in data.columns.items() if not isinstance(each, TextColumn)]
            raise ValueError(
                f"evaluation.subgroups names {name!r}, which is not a number or category of data.columns; "
                f"there are: {', '.join(known) or 'none'}"
            )
        if name in evaluation.subgroup_cuts and not isinstance(column, NumberColumn):
            raise ValueError(f"evaluation.subgroup_cuts.{name}: {name!r} is a category, whose values need no cuts")
        if isinstance(column, NumberColumn) and not _cuts_of(column, name, evaluation):
            raise ValueError(
                f"evaluation.subgroups names the number {name!r}, which has no cut_points: give "
                f"evaluation.subgroup_cuts = {{ {name} = [50, 65] }}, at values of your own"
            )


def _cuts_of(column: Column, name: str, evaluation: EvaluationSection) -> tuple[float, ...]:
    return evaluation.subgroup_cuts.get(name) or (column.cut_points if isinstance(column, NumberColumn) else ())


def check_evidence(study: Study) -> None:
    """Raise StudyError where the study hides single patients and asks at the end for what no noise covers."""
    if study.evaluation.asks_more and mechanism_of(study).unit == "patient":
        raise StudyError(
            f"evaluation.cohort, recalibration and subgroups do not go with privacy.mechanism = "
            f"{study.privacy.mechanism!r}: exact counts and metrics of few patients have no noise; leave them out"
        )
