"""The seam between what a site answers and what computes for it: here and now, or, in a simulation, ahead of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from client.execution import Execution
from client.round_training import RoundWork, train_round
from client.scoring import score
from client.steps import Setting
from client.training import Trained
from common.protocol import Split
from common.state import AdapterState
from common.tasks import AnyExample
from common.workbench import Workbench


class SiteWork(Protocol):
    """Scores what a site has received, and trains from it."""

    def receive(self, state: AdapterState, bench: Workbench) -> None:
        """Take the whole state that all that follows is about."""
        ...

    def train(
        self,
        work: RoundWork,
        bench: Workbench,
        examples: Sequence[AnyExample],
        *,
        execution: Execution,
        setting: Setting,
    ) -> Trained:
        """Train from what was received. Raises RefusedError("TRAINING_DIVERGED")."""
        ...

    def learned(self, bench: Workbench) -> AdapterState:
        """Return the state that training has led to."""
        ...

    def score(
        self, split: Split, bench: Workbench, examples: Sequence[AnyExample], *, execution: Execution
    ) -> NDArray[np.float64]:
        """Return scores (n, width) of one split's examples."""
        ...


class HereAndNow:
    """What a hospital does, in its workbench."""

    def receive(self, state: AdapterState, bench: Workbench) -> None:
        """Write it into the workbench."""
        bench.write(state)

    def learned(self, bench: Workbench) -> AdapterState:
        """Return what is in the workbench."""
        return bench.read()

    def train(
        self,
        work: RoundWork,
        bench: Workbench,
        examples: Sequence[AnyExample],
        *,
        execution: Execution,
        setting: Setting,
    ) -> Trained:
        """Train."""
        return train_round(work, bench, examples, execution=execution, setting=setting)

    def score(
        self,
        split: Split,  # noqa: ARG002 # the seam's
        bench: Workbench,
        examples: Sequence[AnyExample],
        *,
        execution: Execution,
    ) -> NDArray[np.float64]:
        """Score."""
        return score(bench, examples, execution=execution)


HERE_AND_NOW = HereAndNow()
