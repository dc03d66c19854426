"""Before a private study trains: are the gradients of single rows right here, and does every tensor move?

An engine that is silently wrong voids the guarantee and looks like training: Opacus' rule for embeddings, for instance,
misses most of a virtual token's gradient. So both engines are held to one backward pass for each row, on two batches of
the site's rows and with tensors a little off their start, where no gradient is 0; the first that is right is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Final

import numpy as np

from client.execution import Execution, Precision
from client.functional_gradients import FunctionalGradients
from client.hooked_gradients import HookedGradients
from client.row_gradients import Start, slow_gradients, trained
from client.training import set_active
from common.errors import StudyError
from common.peft_methods import AllocatesRanks
from common.study import Study
from common.tasks import AnyExample
from common.workbench import Workbench

if TYPE_CHECKING:
    from torch import Tensor

ENGINES: Final[Sequence[Start]] = (HookedGradients.start, FunctionalGradients.start)
"""The faster one first."""
ROWS: Final = 3
"""Of each of the two batches."""
TOLERANCES: Final[Mapping[Precision, float]] = {"fp32": 1e-3, "bf16": 0.1}
"""Of the largest number in any gradient; what is wrong is wrong by far more than numbers of 8 bits are."""
_STEP: Final = 0.02
"""How far tensors are moved, in random directions, for the check."""


def checked_engine(study: Study, bench: Workbench, examples: Sequence[AnyExample], execution: Execution) -> Start:
    """Return how to start an engine that is right for this study. The workbench is left as it was found.

    examples: the site's training rows, of which a few are looked at.

    Raises:
        StudyError: there is none, or the method or the model uses rows in another way than by gradients.
    """
    before = bench.read()
    set_active(bench, bench.parameters)
    try:
        _check_kind(study, bench)
        _move(bench)
        batches, exact = [examples[:ROWS], examples[-ROWS:]], replace(execution, precision="fp32")
        wanted = [_slow(bench, batch, exact) for batch in batches]
        _check_all_move(study, wanted)
        faults = []
        for start in ENGINES:
            found = [_fault(start, bench, batches, wanted, each) for each in dict.fromkeys((exact, execution))]
            if not any(found):
                return start
            faults += [fault for fault in found if fault][:1]
    finally:
        set_active(bench, ())
        bench.write(before)
    raise StudyError(
        f"privacy.mechanism = 'patient-dp' needs the gradient of each row, and for peft.method = {study.peft.method!r} "
        f"with task.kind = {study.task.kind!r} none of the ways to it is right ({'; '.join(faults)}); expected a "
        "method such as lora, bottleneck or layer-norm"
    )


def _check_kind(study: Study, bench: Workbench) -> None:
    if _prunes(study, bench):
        raise StudyError(
            f"peft.method = {study.peft.method!r} prunes by gradients that are not clipped, which "
            "privacy.mechanism = 'patient-dp' cannot account for; use lora"
        )
    if bench.own_norms:
        raise StudyError(
            f"peft.private holds {next(iter(bench.own_norms))!r}, a BatchNorm: it mixes the rows of a batch, and no "
            "patient can be clipped alone; take it out of peft.private"
        )


def _prunes(study: Study, bench: Workbench) -> bool:
    """Whether the method measures gradients as the loss gave them, in any round; it may write what it then prunes."""
    method, rounds = bench.method, study.federation.rounds
    return isinstance(method, AllocatesRanks) and any(
        method.allocate(bench.parameters, round_number=number, rounds=rounds) is not None
        for number in range(1, rounds + 1)
    )


def _move(bench: Workbench) -> None:
    """Move every trained tensor a little, always in the same directions: LoRA's B, for one, starts at 0."""
    rng = np.random.default_rng(0)
    state = bench.read()
    moved = {
        name: (state[name].astype(np.float64) + _STEP * rng.standard_normal(state[name].shape)).astype(np.float32)
        for name in bench.parameters
    }
    bench.write({**state, **moved})


def _slow(bench: Workbench, batch: Sequence[AnyExample], execution: Execution) -> Mapping[str, Tensor]:
    bench.model.eval()
    bench.head.eval()
    return slow_gradients(bench, batch, execution)


def _check_all_move(study: Study, wanted: Sequence[Mapping[str, Tensor]]) -> None:
    """A tensor without any gradient would stay where it is, under noise alone."""
    still = [name for name in wanted[0] if not any(bool(found[name].any()) for found in wanted)]
    if still:
        raise StudyError(
            f"{still[0]!r} has no gradient on any row looked at ({len(still)} such tensors of peft.method = "
            f"{study.peft.method!r}): noise alone would move it; leave its layer out"
        )


def _fault(
    start: Start,
    bench: Workbench,
    batches: Sequence[Sequence[AnyExample]],
    wanted: Sequence[Mapping[str, Tensor]],
    execution: Execution,
) -> str | None:
    """Return what is wrong with an engine here, in a few words; None where it is right."""
    try:
        engine = start(bench, execution)
    except NotImplementedError as error:
        return str(error).partition("\n")[0][:120]
    try:
        found = [engine.of(batch)[1] for batch in batches]
    except (RuntimeError, KeyError, TypeError, ValueError, NotImplementedError) as error:
        return f"{type(error).__name__} {str(error).partition(chr(10))[0][:120]}"
    finally:
        engine.close()
    errors = {name: _error(name, found, wanted) for name in trained(bench)}
    worst = max(errors, key=lambda name: errors[name])
    if errors[worst] <= TOLERANCES[execution.precision]:
        return None
    return f"{worst!r} is wrong by {errors[worst]:.2g} of the largest gradient"


def _error(name: str, found: Sequence[Mapping[str, Tensor]], wanted: Sequence[Mapping[str, Tensor]]) -> float:
    """Return the largest difference over the largest number; infinite where one of them is not finite."""
    largest = max(float(tensor.abs().max()) for batch in wanted for tensor in batch.values())
    pairs = zip(found, wanted, strict=True)
    errors = [float((one[name].float() - other[name]).abs().max()) / largest for one, other in pairs]
    return max(errors) if np.isfinite([largest, *errors]).all() else inf
