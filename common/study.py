"""The study: what all sites and the server agree on. Frozen pydantic models; an unknown key is an error.

A study names no path, device or source of a site. The `simulation` section is for runs on one machine: real sites
ignore it, and neither it nor the base model's location is in the study's digest.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self  # options of plugins are typed by the plugins

from pydantic import AfterValidator, BaseModel, Field, field_validator, model_validator

from common.data_schema import FROZEN, OPEN, DataSection
from common.files import digest_json
from common.names import NAME, SiteName
from common.study_compression import CompressionSection
from common.study_evaluation import EvaluationSection, check_subgroups, digested
from common.study_privacy import PrivacySection
from common.study_regulariser import RegulariserSection
from common.study_simulation import SimulationSection
from common.unfreezing import Steps, check_order

Patterns = tuple[str, ...]


class Section(BaseModel):
    """Base of the sections: frozen, unknown keys refused."""

    model_config = FROZEN


class BaseModelSection(Section):
    """The frozen base model: where this machine finds it, and the digest that fixes what it is."""

    source: str = Field(pattern=r"^(package:[\w.]+(/.+)?|dir:.+|hub:[^@/]+/[^@/]+@[\w.-]+|generated:[a-z][a-z0-9-]*)$")
    digest: str | None = Field(default=None, pattern=r"^sha256:[0-9a-f]{64}$")


class PeftSection(BaseModel):
    """The PEFT method; keys other than `method` and `private` are the method's own options."""

    model_config = OPEN
    method: str = "lora"
    private: Patterns = ()

    @property
    def options(self) -> dict[str, Any]:
        """The method's own options."""
        return dict(self.model_extra or {})

    @property
    def methods(self) -> tuple[str, ...]:
        """The method and those that its options name, as `hybrid` does; written as a policy writes them."""
        return tuple(name.replace("_", "-") for name in [self.method, *_methods_in(self.options)])


def _methods_in(options: Mapping[str, Any]) -> list[str]:
    tables = [value for value in options.values() if isinstance(value, Mapping)]
    return [name for table in tables for name in [*_named_in(table), *_methods_in(table)]]


def _named_in(table: Mapping[str, Any]) -> list[str]:
    return [str(table["method"])] if "method" in table else []


class TaskSection(BaseModel):
    """What is learned. `target` is a column; keys other than these are the task's own options.

    labels: the target's values, in class order, for tasks that have such.
    """

    model_config = OPEN
    kind: str = "sequence-classification"
    target: str = "label"
    labels: tuple[str, ...] = ()
    max_length: int = Field(default=128, ge=4, le=8192)

    @field_validator("labels", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return tuple(str(item) for item in value) if isinstance(value, list | tuple) else value

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels must differ from each other")
        return self

    @property
    def arguments(self) -> dict[str, Any]:
        """What the task is built with: its own options, and labels where the study has some."""
        return {**({"labels": self.labels} if self.labels else {}), **(self.model_extra or {})}


class TrainingSection(Section):
    """How a site trains in one round; schedules run over the whole study."""

    local_epochs: int | None = Field(default=None, ge=1)
    local_steps: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=16, ge=1)
    accumulate: int = Field(default=1, ge=1, description="parts, one after the other, in which a step's rows are taken")
    learning_rate: float = Field(default=1e-3, gt=0)
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    weight_decay: float = Field(default=0.0, ge=0)
    clip_norm: float | None = Field(default=1.0, gt=0)
    warmup_fraction: float = Field(default=0.0, ge=0, lt=1)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    regulariser: RegulariserSection | None = None
    unfreeze: Annotated[Steps, AfterValidator(check_order)] = ()
    frozen_dropout: bool = Field(default=True, description="without it, frozen layers run once for each row")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.local_epochs is not None and self.local_steps is not None:
            raise ValueError("give local_epochs or local_steps, not both")
        return self

    @property
    def epochs(self) -> int:
        """Epochs per round where `local_steps` is not given."""
        return self.local_epochs or 1


class FederationSection(Section):
    """Rounds, who takes part, and when a round counts. Without `sites`, a simulation takes those of its data."""

    rounds: int = Field(default=8, ge=1)
    fraction: float = Field(default=1.0, gt=0, le=1)
    quorum: float = Field(default=0.5, gt=0, le=1, description="share of the cohort that makes a round count")
    deadline_s: float = Field(default=3600.0, gt=0)
    patience: int | None = Field(default=None, ge=1, description="rounds without a better pooled metric that end a run")
    sites: tuple[SiteName, ...] = ()
    ranks: Mapping[SiteName, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="LoRA ranks of single sites, below the study's"
    )

    @model_validator(mode="after")
    def _known_ranks(self) -> Self:
        unknown = sorted(set(self.ranks) - set(self.sites)) if self.sites else []
        if unknown:
            raise ValueError(f"ranks names {unknown[0]!r}, which is none of the sites: {', '.join(self.sites)}")
        return self

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len({site.casefold() for site in self.sites}) != len(self.sites):
            raise ValueError("sites must differ from each other by more than upper and lower case")
        return self


class AggregationSection(BaseModel):
    """The strategy; keys other than `name`, `weighting` and `norm_bound` are the strategy's own options."""

    model_config = OPEN
    name: str = "fedavg"
    weighting: Literal["examples", "uniform"] = "examples"
    norm_bound: float | None = Field(default=None, gt=0, description="refuse updates with a larger Euclidean norm")

    @property
    def options(self) -> dict[str, Any]:
        """The strategy's own options."""
        return dict(self.model_extra or {})


class Study(Section):
    """A whole study file."""

    name: str = Field(pattern=rf"^{NAME.pattern}$")
    description: str = ""
    seed: int = Field(default=0, ge=0, lt=2**32)
    base_model: BaseModelSection
    peft: PeftSection = PeftSection()
    task: TaskSection
    data: DataSection = DataSection()
    training: TrainingSection = TrainingSection()
    federation: FederationSection = FederationSection()
    aggregation: AggregationSection = AggregationSection()
    compression: CompressionSection = CompressionSection()
    privacy: PrivacySection = PrivacySection()
    evaluation: EvaluationSection = EvaluationSection()
    simulation: SimulationSection | None = None

    @model_validator(mode="after")
    def _rounds_can_be_compared(self) -> Self:
        for key in self._comparing:
            if self.federation.fraction < 1:
                raise ValueError(
                    f"{key} does not go with federation.fraction < 1: "
                    "rounds would be compared on the validation rows of different sites"
                )
            if self.peft.private:
                raise ValueError(
                    f"{key} does not go with peft.private: no pooled metric ranks models that differ from site to "
                    "site, and sites keep the private tensors of the last rounds only"
                )
        return self

    @model_validator(mode="after")
    def _subgroups_exist(self) -> Self:
        check_subgroups(self.evaluation, self.data)
        return self

    @property
    def _comparing(self) -> list[str]:
        """The keys that compare rounds with each other."""
        best = ["evaluation.keep = 'best'"] if self.evaluation.keep == "best" else []
        return best if self.federation.patience is None else [*best, "federation.patience"]

    @property
    def digest(self) -> str:
        """Digest of what all sites agree on: neither `simulation` nor the base model's location is part of it."""
        content = self.model_dump(mode="json", exclude={"simulation": True, "base_model": {"source": True}})
        content["evaluation"] = digested(content["evaluation"])
        return digest_json(content)


def replaced(study: Study, changes: Mapping[str, Any]) -> Study:
    """Return `study` with dotted keys replaced, checked again: `{"federation.sites": ("a", "b")}`."""
    content = study.model_dump(mode="json")
    for key, value in changes.items():
        *path, last = key.split(".")
        place = content
        for part in path:
            place = place[part]
        place[last] = value
    return Study.model_validate(content)
