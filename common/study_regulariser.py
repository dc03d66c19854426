"""`training.regulariser` of a study: what is added to the loss so that training forgets less of where it began."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from common.data_schema import FROZEN
from common.errors import StudyError
from common.metrics.classes import ClassMeasure
from common.metrics.measure import Measure

Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class EwcSection(BaseModel):
    """Elastic weight consolidation; `rows`: how many of a site's training rows its Fisher information is taken over."""

    model_config = FROZEN
    kind: Literal["ewc"]
    weight: Weight
    rows: int = Field(default=64, ge=1)


class DistillationSection(BaseModel):
    """Distillation from the study's initial adapter on the base model."""

    model_config = FROZEN
    kind: Literal["distillation"]
    weight: Weight
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 2.0


RegulariserSection = Annotated[EwcSection | DistillationSection, Field(discriminator="kind")]


def check_classifies(measure: Measure, *, kind: str) -> None:
    """Raise StudyError unless a task has one row of class probabilities for each row of data, which both need."""
    if not isinstance(measure, ClassMeasure):
        raise StudyError(
            f"training.regulariser = {kind!r} compares probabilities of classes, of which task.kind has none; "
            "use a task that chooses one of its labels, such as sequence-classification, or leave it out"
        )
