"""The learning rate of each cell, by the loss on validation rows of a seed that is not reported."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # a result is JSON

from simulations.compare.trials import Trial


@dataclass(frozen=True)
class Choice:
    """The rate of one cell and the loss of each candidate, infinite where it diverged; one candidate has no loss."""

    rate: float
    losses: Mapping[float, float]

    @property
    def at_edge(self) -> bool:
        """Whether a better rate may lie outside the candidates.

        >>> Choice(0.1, {0.01: 0.5, 0.1: 0.4}).at_edge, Choice(0.1, {0.01: 0.5, 0.1: 0.4, 1.0: 0.6}).at_edge
        (True, False)
        """
        return len(self.losses) > 1 and self.rate in (min(self.losses), max(self.losses))

    @property
    def all_diverged(self) -> bool:
        """Whether no candidate has a loss."""
        return bool(self.losses) and all(math.isinf(loss) for loss in self.losses.values())


def choose(rates: Sequence[float], trials: Sequence[Trial], results: Sequence[Mapping[str, Any]], by: str) -> Choice:
    """Return the candidate with the lowest `by` on validation rows; of equal ones the lowest rate."""
    losses = {trial.rate: loss_of(result, by) for trial, result in zip(trials, results, strict=True)}
    return Choice(min(losses, key=lambda rate: (losses[rate], rate)) if losses else rates[0], losses)


def loss_of(result: Mapping[str, Any], by: str) -> float:
    """Return a run's loss on all validation rows; infinity where it diverged or stopped."""
    value = result["validation"]["pooled"].get(by) if result["status"] == "done" else None
    return math.inf if value is None else float(value)
