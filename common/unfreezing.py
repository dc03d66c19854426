"""Gradual unfreezing: which tensors a study trains from which round on. Server and sites both follow these functions.

Howard and Ruder 2018, https://arxiv.org/abs/1801.06146, section 3.3, who begin with the last layer; here a study's
steps, `training.unfreeze`, name what is trained by patterns. A strategy's plan is narrowed to it, and never widened.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import pairwise

from pydantic import BaseModel, Field

from common.data_schema import FROZEN
from common.errors import StudyError
from common.protocol import RoundPlan
from common.state import AdapterSchema


class UnfreezeStep(BaseModel):
    """From this round on, tensors whose names match one of these patterns are trained, and no others."""

    model_config = FROZEN
    from_round: int = Field(ge=1)
    active: tuple[str, ...] = Field(min_length=1)


Steps = tuple[UnfreezeStep, ...]


def check_order(steps: Steps) -> Steps:
    """Return the steps if they begin with round 1 and go on in order, else raise ValueError."""
    numbers = [step.from_round for step in steps]
    if numbers and (numbers[0] != 1 or any(right <= left for left, right in pairwise(numbers))):
        raise ValueError(f"from_round has {numbers}; expected 1 first, and then larger and larger numbers")
    return steps


def patterns_in(steps: Sequence[UnfreezeStep], round_number: int) -> tuple[str, ...]:
    """Return the patterns of what is trained in a round, counted from 1; without steps it is everything.

    >>> steps = (UnfreezeStep(from_round=1, active=("head.*",)), UnfreezeStep(from_round=3, active=("*",)))
    >>> [patterns_in(steps, number) for number in (1, 2, 3, 9)]
    [('head.*',), ('head.*',), ('*',), ('*',)]
    """
    return next((step.active for step in reversed(steps) if step.from_round <= round_number), ("*",))


def matching(names: Iterable[str], patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the names that match one of the patterns, in their order."""
    if "*" in patterns:
        return tuple(names)
    return tuple(name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns))


def narrowed(plan: RoundPlan, patterns: Sequence[str], shared: AdapterSchema) -> RoundPlan:
    """Return a strategy's plan without the tensors that are still frozen; `shared` are those that travel.

    Raises:
        StudyError: nothing is left to train.
    """
    asked = shared.names if plan.active is None else plan.active
    left = matching(asked, patterns)
    if not left:
        raise StudyError(
            f"training.unfreeze leaves nothing of what the strategy trains in a round: active = {list(patterns)}, "
            f"the strategy's part is {', '.join(asked[:5])}; name some of these"
        )
    return plan if left == tuple(asked) else replace(plan, active=left)


def check_patterns(steps: Steps, schema: AdapterSchema) -> None:
    """Raise StudyError where a pattern matches no tensor of the adapter, or a step none that travels."""
    for step in steps:
        for pattern in step.active:
            if not matching(schema.names, [pattern]):
                raise StudyError(
                    f"training.unfreeze: pattern {pattern!r} of round {step.from_round} matches none of the "
                    f"{len(schema.names)} tensors, such as {', '.join(schema.names[:3])}"
                )
        if not matching(schema.shared.names, step.active):
            raise StudyError(
                f"training.unfreeze: round {step.from_round} trains private tensors only; a federation needs at least "
                "one that is shared in every round"
            )
