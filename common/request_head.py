"""What a request says beside its tensors, as JSON, read strictly before anyone knows of which study it is."""

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from common.carried import split_carried
from common.errors import SchemaError
from common.extra import extra_schema
from common.protocol import Kind, Request, RoundPlan, Split
from common.state import AdapterSchema


class Carried(BaseModel):
    """The description of one tensor that is carried beside the adapter: `common.carried` checks what it says."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    name: str = Field(max_length=512)
    shape: tuple[int, ...] = Field(max_length=8)
    dtype: str = Field(max_length=16)
    group: str = Field(max_length=16)


class RequestHead(BaseModel):
    """What a request says beside its tensors; `carried` describes what travels beside the adapter, where that is."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
    kind: Kind
    run: str = Field(max_length=64)
    round: int = Field(ge=1)
    seed: int = Field(ge=0)
    study: str = Field(max_length=71)
    adapter_schema: str = Field(max_length=71)
    plan: RoundPlan
    splits: tuple[Split, ...]
    carried: tuple[Carried, ...] | None = Field(default=None, min_length=1)

    @field_validator("plan")
    @classmethod
    def _has_ranks(cls, plan: RoundPlan) -> RoundPlan:
        if plan.rank is not None and plan.rank < 1:
            raise ValueError("a site's rank is 1 or more")
        return plan

    @property
    def carried_schema(self) -> AdapterSchema:
        """The tensors beside the adapter, none where nothing is said of them. Raises SchemaError."""
        return extra_schema([{**spec.model_dump(), "shape": list(spec.shape)} for spec in self.carried or ()])


def head_json(request: Request) -> dict[str, object]:
    """Return the head of a request; it says nothing of what is carried where nothing is."""
    carried = AdapterSchema.of(split_carried(request.shared)[1])
    head: dict[str, object] = {
        "kind": request.kind,
        "run": request.run,
        "round": request.round,
        "seed": request.seed,
        "study": request.study,
        "adapter_schema": request.schema,
        "plan": request.plan.to_json(),
        "splits": list(request.splits),
    }
    return {**head, "carried": carried.to_json()} if carried.tensors else head


def read_head(text: str) -> RequestHead:
    """Read what `head_json` says. Raises SchemaError."""
    try:
        return RequestHead.model_validate_json(text)
    except ValidationError as error:
        raise SchemaError(f"request: {error.errors()[0]['msg']}") from None
