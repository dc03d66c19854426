"""Local training that hides each patient: DP-SGD over Poisson samples of patients (`common.privacy.patient_dp`).

A step's rows go through the model in as many parts as memory asks for; the noise is added once, to the whole sum. What
the optimizer makes of the noised sum, schedules, weight decay and FedProx' term among it, looks at no row again.
Neither `training.clip_norm`, which bounds a step and no patient, nor regularisers act here. Dropout is a part of what
one patient's gradient is: its masks are taken for independent of each other and unknown, as torch makes them from a
fresh seed of the noise's own source for each part.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from client.batches import take
from client.clipping import clipped_sum, noised_mean, patient_means
from client.execution import Execution
from client.optimizer import make_optimizer, set_learning_rate
from client.patient_sample import PatientRows, chunks
from client.recipe import Recipe
from client.row_gradients import RowGradients, Start, trained
from client.schedule import factor, progress
from client.steps import PLAIN, Setting, Step
from client.training import Trained, forked, set_active, set_training_mode
from common.errors import RefusedError
from common.privacy._accounting import Spending
from common.privacy._noise import SECURE, Entropy
from common.tasks import AnyExample
from common.workbench import Workbench

if TYPE_CHECKING:
    from torch import Tensor

PART_BYTES: Final = 2**28
"""Of gradients of rows in memory at once."""
MOST_ROWS: Final = 32
"""That go through the model at once; more make a step no faster."""


@dataclass(frozen=True)
class Protection:
    """What protects the patients of one round. start: makes the engine that gives gradients of rows."""

    spending: Spending
    clip_norm: float
    rows_per_patient: int
    start: Start
    entropy: Entropy = SECURE


def train_privately(
    bench: Workbench,
    examples: Sequence[AnyExample],
    patients: Sequence[str],
    recipe: Recipe,
    protection: Protection,
    *,
    active: Collection[str],
    private: Collection[str] = (),
    execution: Execution,
    setting: Setting = PLAIN,
) -> Trained:
    """Train the tensors named in `active`, in place, and return what only the site may know.

    patients: of each row. `private` are the tensors that stay at the site; they are protected as all others are.

    Raises:
        RefusedError("TRAINING_DIVERGED"): a tensor is not finite in the end.
    """
    set_active(bench, active)
    set_training_mode(bench)
    engine = protection.start(bench, execution)
    loop = _Loop(bench, examples, PatientRows.of(patients), recipe, protection, engine, execution, setting)
    try:
        with forked(execution, 0):  # each part of a step has dropout of its own
            return loop.run(active, private)
    finally:
        engine.close()


@dataclass(frozen=True)
class _Loop:
    """One training call's parts; lives for that call only."""

    bench: Workbench
    examples: Sequence[AnyExample]
    rows: PatientRows
    recipe: Recipe
    protection: Protection
    engine: RowGradients
    execution: Execution
    setting: Setting

    def run(self, active: Collection[str], private: Collection[str]) -> Trained:
        recipe, spending = self.recipe, self.protection.spending
        optimizer = make_optimizer(
            self.bench,
            active,
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            layer_decay=recipe.layer_decay,
        )
        tied = {name: p.detach().clone() for name, p in trained(self.bench).items() if name not in private}
        losses = []
        for number in range(spending.steps):
            loss, norm = self._set_gradients(tied if recipe.proximal_mu else {})
            rate = recipe.learning_rate * self._factor(number)
            set_learning_rate(optimizer, rate)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss)
            if self.setting.after_step is not None:
                self.setting.after_step(Step(number, rate, loss, norm))
        return self._finished(losses)

    def _factor(self, number: int) -> float:
        recipe, steps = self.recipe, self.protection.spending.steps
        at = progress(round_number=recipe.round_number, step=number, steps=steps, rounds=recipe.rounds)
        return factor(at, schedule=recipe.schedule, warmup_fraction=recipe.warmup_fraction)

    def _set_gradients(self, tied: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Give each trained tensor its noised gradient; return the mean loss of the step's rows, and the norm."""
        import torch

        loss, sums = self._clipped_sums()
        expected = self.protection.spending.sampling_probability * len(self.rows)
        parameters = trained(self.bench)
        for name, parameter in parameters.items():
            parameter.grad = noised_mean(sums[name], self._noise(parameter.numel()), patients=expected)
            if name in tied:
                parameter.grad.add_(parameter.detach() - tied[name], alpha=self.recipe.proximal_mu)
        gradients = [parameter.grad for parameter in parameters.values() if parameter.grad is not None]
        return loss, torch.nn.utils.get_total_norm(gradients)

    def _noise(self, size: int) -> NDArray[np.float64]:
        """Return noise of z C for each of so many numbers."""
        return self.protection.entropy.normal(size) * (
            self.protection.spending.noise_multiplier * self.protection.clip_norm
        )

    def _clipped_sums(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean loss of a fresh sample's rows, and the sum of its patients' clipped gradients."""
        import torch

        parameters = trained(self.bench)
        sums = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
        loss, rows = torch.zeros((), device=self.execution.device), 0
        for part in self._parts(sum(parameter.numel() for parameter in parameters.values())):
            self._draw_dropout()
            losses, gradients = self.engine.of(take(self.examples, np.concatenate(part)))
            means = patient_means(gradients, self._owners(part), patients=len(part))
            for name, each in clipped_sum(means, self.protection.clip_norm).items():
                sums[name] += each
            loss, rows = loss + losses.sum(), rows + len(losses)
        return loss / max(rows, 1), sums

    def _draw_dropout(self) -> None:
        """Have the next rows dropped out by chance that nobody knows.

        By a known seed each row's mask would follow from its place in the part, hence from who else is in it: one
        patient more would change the gradients of all after him, by far more than the bound.
        """
        import torch

        torch.manual_seed(int(self.protection.entropy.uniform(1)[0] * 2**52))

    def _parts(self, numbers: int) -> list[list[NDArray[np.int64]]]:
        spending, entropy = self.protection.spending, self.protection.entropy
        most, probability = self.protection.rows_per_patient, spending.sampling_probability
        drawn = self.rows.sample(probability, most_rows=most, uniform=entropy.uniform)
        room = max(1, min(MOST_ROWS, PART_BYTES // (4 * numbers)))
        return chunks(drawn, [example.length for example in self.examples], most_rows=room)

    def _owners(self, part: Sequence[NDArray[np.int64]]) -> Tensor:
        import torch

        owners = np.repeat(np.arange(len(part)), [len(rows) for rows in part])
        return torch.from_numpy(owners).to(self.execution.device)

    def _finished(self, losses: Sequence[Tensor]) -> Trained:
        """Whether training diverged is asked of the noised tensors: it tells no more than they do."""
        if not all(bool(parameter.isfinite().all()) for parameter in trained(self.bench).values()):
            raise RefusedError("TRAINING_DIVERGED")
        loss = float(sum(losses)) / len(losses) if losses else 0.0
        return Trained(loss=loss, steps=self.protection.spending.steps)
