"""`simulation.canaries` and `simulation.audit` of a study: what is planted, and how much leakage is too much."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from common.data_schema import FROZEN

AboveChance = Annotated[float, Field(gt=0.5, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1)]


class CanariesSection(BaseModel):
    """Made-up rows among one site's training rows, and as many more, the references, that nobody trains on.

    repeats: how often each canary is there. patients: whether each canary is a patient of its own, with all its
    repeats, or all are one patient's.
    """

    model_config = FROZEN
    site: str = Field(min_length=1)
    count: int = Field(default=20, ge=1, le=1000)
    repeats: int = Field(default=1, ge=1, le=1000)
    patients: Literal["own", "one"] = "own"
    references: int = Field(default=512, ge=100, le=100_000)

    @model_validator(mode="after")
    def _enough_references(self) -> Self:
        if self.references < self.count:
            raise ValueError(f"references = {self.references} are fewer than the {self.count} canaries")
        return self


class AuditSection(BaseModel):
    """Thresholds of `fedpeft audit leakage`: what an attack may reach at most.

    canary_exposure: mean over canaries, in bits; by chance about 1.4. membership_tpr_at_1pct: members found while one
    non-member in a hundred is taken for one. token_recall: tokens found beyond what chance finds, as a share.
    """

    model_config = FROZEN
    canary_exposure: Annotated[float, Field(gt=0)] = 3.0
    canary_auc: AboveChance = 0.75
    membership_auc: AboveChance = 0.6
    membership_tpr_at_1pct: Share = 0.1
    token_recall: Share = 0.2
