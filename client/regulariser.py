"""The seam of regularisers: what local training adds to the loss of the rows, beside FedProx' term."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from client.batches import take
from common.state import AdapterState
from common.study_regulariser import EwcSection, RegulariserSection
from common.tasks import AnyExample

if TYPE_CHECKING:
    from torch import Tensor

    from client.execution import Execution
    from common.workbench import Workbench


class Regulariser(Protocol):
    """One term, made afresh for each round."""

    def term(self, logits: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Return the scalar to add to the mean loss of these training rows, whose logits are given."""
        ...


def regularisers_of(
    section: RegulariserSection | None,
    bench: Workbench,
    examples: Sequence[AnyExample],
    *,
    initial: AdapterState,
    active: Collection[str],
    execution: Execution,
    rng: np.random.Generator,
) -> tuple[Regulariser, ...]:
    """Return the study's regulariser, if any, made at its initial adapter; the workbench is left as it was found.

    active: names of the tensors that will be trained. rng: chooses rows where only some of them are looked at.
    """
    if section is None:
        return ()
    received = bench.read()
    bench.write(initial)
    try:
        return (_made(section, bench, examples, active=active, execution=execution, rng=rng),)
    finally:
        bench.write(received)


def _made(
    section: RegulariserSection,
    bench: Workbench,
    examples: Sequence[AnyExample],
    *,
    active: Collection[str],
    execution: Execution,
    rng: np.random.Generator,
) -> Regulariser:
    from client.distillation import make_distillation
    from client.ewc import make_ewc

    if isinstance(section, EwcSection):
        rows = np.sort(rng.choice(len(examples), size=min(section.rows, len(examples)), replace=False))
        parameters = {name: p for name, p in bench.parameters.items() if name in active}
        return make_ewc(bench, take(examples, rows), parameters, weight=section.weight, execution=execution)
    return make_distillation(
        bench, examples, weight=section.weight, temperature=section.temperature, execution=execution
    )
