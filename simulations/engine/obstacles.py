"""What keeps a study's clients from being trained in groups: known before anything runs, or found by a trial.

The trial trains three rows of two sites for one step both ways, from an adapter in which no factor is zero. A method,
task or base model of which nobody thought is then either right in a group, or trained one client at a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from client.execution import Execution
from client.recipe import Recipe, recipe_of
from client.training import Trained, train
from common.errors import RefusedError
from common.peft_methods import AllocatesRanks
from common.protecting import mechanism_of
from common.state import AdapterState
from common.study import Study
from common.tasks import AnyExample
from common.workbench import Workbench
from simulations.engine.group import GroupTrained, train_group
from simulations.engine.layout import CannotGroupError
from simulations.engine.members import Member
from simulations.engine.replica import replica_of

if TYPE_CHECKING:
    from client.site_rows import SiteRows

TRIAL_ROWS = (2, 1)
TRIAL_SPREAD = 0.02
"""Standard deviation of what is added to the initial adapter, of which LoRA's B is zero: no gradient would reach A."""
FAILURES = (RuntimeError, TypeError, ValueError, LookupError, AttributeError)
"""What code raises that was written for padded rows and one client's tensors, where it meets others."""
TOLERANCE: Mapping[str, float] = {"fp32": 1e-3, "bf16": 5e-2, "fp16": 5e-2}
"""Of loss and gradient norm, relative: sums that are rounded otherwise stay far below, a wrong gradient far above."""
SAME_WAY = 0.8
"""Cosine of the first steps' directions, at least. AdamW's first step is nearly a sign: gradients that are 0 but for
rounding go either way."""


def known_obstacle(study: Study, bench: Workbench, execution: Execution) -> str | None:
    """Return why this study's clients are trained one after the other, as far as the study itself tells."""
    training = study.training
    if mechanism_of(study).unit == "patient":
        return "patients are hidden in each step's gradient"
    if training.regulariser is not None:
        return "training.regulariser adds a term of each client's own to the loss"
    if training.accumulate > 1:
        return "training.accumulate takes a step in parts"
    if bench.own_norms:
        return "each client's BatchNorms learn statistics of its own"
    if isinstance(bench.method, AllocatesRanks):
        return f"peft.method = {study.peft.method!r} prunes ranks by each client's gradients"
    if execution.precision == "fp16":
        return "in fp16 each client skips steps of its own"
    return None


def found_obstacle(
    study: Study, bench: Workbench, execution: Execution, sites: Mapping[str, SiteRows], *, packs: bool
) -> str | None:
    """Return what a trial found to be in the way, or to come out otherwise; None where nothing is."""
    recipe = replace(recipe_of(study, round_number=1), steps=1, batch_size=max(TRIAL_ROWS))
    before = bench.read()
    state = _stirred(before)
    chosen = [name for name in sorted(sites) if len(sites[name].train)][: len(TRIAL_ROWS)]
    rows = {name: sites[name].train.examples[:n] for name, n in zip(chosen, TRIAL_ROWS, strict=False)}
    drawn = _drawn(execution)
    try:
        together = _together(bench, rows, recipe, state, execution, packs=packs)
        if drawn != _drawn(execution):
            return "something besides dropout draws random numbers, which clients would share"
        alone = {name: _alone(bench, examples, recipe, execution, state) for name, examples in rows.items()}
        agree = all(_agree(together[name], alone[name], state, execution) for name in rows)
    except CannotGroupError as error:
        return str(error)
    except RefusedError:
        return "a trial diverged"
    except FAILURES as error:  # what is wrong with one client alone too, a run says itself
        return f"a trial failed ({type(error).__name__})"
    finally:
        bench.write(before)
    return None if agree else "a trial came out otherwise"


def _drawn(execution: Execution) -> list[bytes]:
    """Return where torch's own generators are: that of the CPU, and that of a GPU."""
    import torch

    states = [torch.get_rng_state()]
    if execution.device.startswith("cuda"):
        states.append(torch.cuda.get_rng_state(execution.device))
    return [state.numpy().tobytes() for state in states]


def _stirred(state: AdapterState) -> AdapterState:
    rng = np.random.default_rng(0)
    return {name: (a + rng.normal(0, TRIAL_SPREAD, a.shape).astype(a.dtype)) for name, a in state.items()}


def _together(
    bench: Workbench,
    rows: Mapping[str, Sequence[AnyExample]],
    recipe: Recipe,
    state: AdapterState,
    execution: Execution,
    *,
    packs: bool,
) -> dict[str, GroupTrained]:
    members = [
        Member(name, examples, recipe, state, frozenset(bench.parameters), np.random.default_rng(0), 0)
        for name, examples in rows.items()
    ]
    return train_group(replica_of(bench), members, execution, packs=packs)


def _alone(
    bench: Workbench, examples: Sequence[AnyExample], recipe: Recipe, execution: Execution, state: AdapterState
) -> GroupTrained:
    bench.write(state)
    rng, active = np.random.default_rng(0), frozenset(bench.parameters)
    trained = train(bench, examples, recipe, active=active, execution=execution, rng=rng, dropout_seed=0)
    return GroupTrained(trained, bench.read())


def _agree(one: GroupTrained, other: GroupTrained, before: AdapterState, execution: Execution) -> bool:
    """Whether loss and gradient are as large, and led the same way; and no tensor moved that no loss reaches."""
    near = TOLERANCE[execution.precision]
    pairs = zip(_measured(one.trained), _measured(other.trained), strict=False)
    if not all(math.isclose(a, b, rel_tol=near, abs_tol=near * near) for a, b in pairs):
        return False
    if any(_moves(one, before, [name]).any() != _moves(other, before, [name]).any() for name in before):
        return False
    mine, theirs = (_moves(each, before, list(before)) for each in (one, other))
    return bool(mine @ theirs >= SAME_WAY * np.linalg.norm(mine) * np.linalg.norm(theirs))


def _measured(trained: Trained | None) -> tuple[float, ...]:
    """Return what is compared; where training diverged, or says nothing of its gradients, what is near to nothing."""
    if trained is None or trained.gradient_norm is None:
        return (math.nan,)
    return trained.loss, trained.gradient_norm


def _moves(trained: GroupTrained, before: AdapterState, names: Sequence[str]) -> NDArray[np.float64]:
    return np.concatenate([np.subtract(trained.state[name], before[name], dtype=np.float64).ravel() for name in names])
