from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from common.errors import SchemaError
from common.protocol import Kind, Request, RoundPlan, asked_schema
from common.state import AdapterSchema

SHARED = {"a": np.zeros(3, np.float32), "b": np.ones((2, 2), np.float32)}
REQUEST = Request(
    kind="train",
    run="run-1",
    round=1,
    seed=0,
    study="sha256:s",
    schema="sha256:t",
    plan=RoundPlan(active=("a",), extra={"x": 1.0}),
    splits=("validation",),
    shared=SHARED,
)
CHANGES: Mapping[str, object] = {
    "kind": "evaluate",
    "run": "run-2",
    "round": 2,
    "seed": 1,
    "study": "sha256:other",
    "schema": "sha256:other",
    "plan": RoundPlan(active=("b",), extra={"x": 1.0}),
    "splits": ("validation", "test"),
    "shared": {**SHARED, "a": np.array([0, 0, 1e-45], np.float32)},
}


def test_every_field_of_a_request_is_in_this_test() -> None:
    assert set(CHANGES) == set(REQUEST.__dataclass_fields__)


@pytest.mark.parametrize("field", CHANGES)
def test_another_question_has_another_digest(field: str) -> None:
    assert replace(REQUEST, **{field: CHANGES[field]}).digest != REQUEST.digest


PLANS = [
    RoundPlan(),
    RoundPlan(active=()),
    RoundPlan(active=("a",)),
    RoundPlan(active=("a", "b")),
    RoundPlan(active=("a",), proximal_mu=0.1),
    RoundPlan(active=("a",), rank=4),
    RoundPlan(active=("a",), extra={"x": 2.0}),
    RoundPlan(active=("a",), extra={"y": 1.0}),
]


def test_every_part_of_a_plan_is_part_of_the_question() -> None:
    digests = {replace(REQUEST, plan=plan).digest for plan in PLANS}
    assert len(digests | {REQUEST.digest}) == len(PLANS) + 1


def test_the_same_question_has_the_same_digest() -> None:
    copied = {name: SHARED[name].copy() for name in reversed(list(SHARED))}
    assert replace(REQUEST, shared=copied).digest == REQUEST.digest


SCHEMA = AdapterSchema.of({**SHARED, "head.w": np.zeros(2, np.float32)}, private=["head.*"])


@pytest.mark.parametrize(
    ("active", "trained"), [(None, ("a", "b")), (("b",), ("b",)), (("b", "a"), ("a", "b")), ((), ())]
)
def test_active_shared_tensors_are_asked_for_where_something_is_trained(
    active: tuple[str, ...] | None, trained: tuple[str, ...]
) -> None:
    plan = RoundPlan(active=active)
    assert asked_schema(SCHEMA, "train", plan).names == trained
    assert asked_schema(SCHEMA, "evaluate", plan).names == ()


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("name", ["head.w", "c"])
def test_a_private_or_unknown_tensor_cannot_be_asked_for(kind: Kind, name: str) -> None:
    with pytest.raises(SchemaError, match=f"no tensor '{name}'"):
        asked_schema(SCHEMA, kind, RoundPlan(active=("a", name)))
