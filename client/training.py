"""Local training: some epochs of AdamW over a site's rows, from the state that is in the workbench.

The optimizer (`client.optimizer`) starts afresh in each call. A step's rows may be taken in parts, one after the other
or at several processes: the gradient is the mean of those of the parts, weighted by their targets, as of one batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from client.batches import count_steps, parts_of, shares_of, take, training_batches
from client.dropout import dropout_by, noise_by, stream_of
from client.execution import Execution
from client.forward import pad_id, to_device
from client.frozen_layers import FrozenLayers, silence_frozen
from client.optimizer import make_optimizer, set_learning_rate
from client.recipe import Recipe, learning_rate
from client.scaling import Scaler, scaler_of
from client.steps import PLAIN, Setting, Step
from common.errors import RefusedError
from common.peft_methods import AllocatesRanks, RankAllocation
from common.peft_methods._batch_norms import batch_norms, set_mode, statistics
from common.tasks import AnyExample
from common.tasks._precision import widened
from common.workbench import Workbench

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass(frozen=True)
class Trained:
    """What a training call measured: means over the steps that were not skipped, and how many steps there were.

    gradient_norm: Euclidean, of the steps' gradients before they are clipped; None where nothing may be said of it.
    """

    loss: float
    steps: int
    gradient_norm: float | None = None


def train(
    bench: Workbench,
    examples: Sequence[AnyExample],
    recipe: Recipe,
    *,
    active: Collection[str],
    private: Collection[str] = (),
    execution: Execution,
    rng: np.random.Generator,
    dropout_seed: int,
    setting: Setting = PLAIN,
) -> Trained:
    """Train the tensors named in `active`, in place; RefusedError("TRAINING_DIVERGED") if the loss is not finite.

    `private` are those of them that stay at the site.
    Batches come from `rng`, dropout from `dropout_seed`; torch's global generator is left as it was.
    """
    lengths = [e.length for e in examples]
    steps = count_steps(len(examples), batch_size=recipe.batch_size, epochs=recipe.epochs, steps=recipe.steps)
    batches = training_batches(lengths, batch_size=recipe.batch_size, epochs=recipe.epochs, steps=recipe.steps, rng=rng)
    loop = _Loop.start(
        bench, examples, recipe, active=active, private=private, execution=execution, setting=setting, steps=steps
    )
    dropout = dropout_by(noise_by(stream_of(dropout_seed, device=execution.device)))
    with forked(execution, dropout_seed), dropout:
        for number, rows in enumerate(batches):
            step = loop.step(number, rows)
            if setting.after_step is not None:
                setting.after_step(step)
    return loop.finish()


@contextmanager
def forked(execution: Execution, dropout_seed: int) -> Iterator[None]:
    """Run with torch's generators seeded, for what draws from them, and leave them as they were."""
    import torch

    with torch.random.fork_rng(devices=[execution.device] if execution.device.startswith("cuda") else []):
        torch.manual_seed(dropout_seed)
        yield


def set_active(bench: Workbench, active: Collection[str]) -> None:
    """Have just these tensors require a gradient, and none hold one."""
    for name, parameter in bench.parameters.items():
        parameter.requires_grad_(name in active)
        parameter.grad = None


def set_training_mode(bench: Workbench) -> None:
    """Put the model in training mode, but for silent frozen layers, and BatchNorms: each batch sets the site's own."""
    bench.model.train()
    bench.head.train()
    for module in batch_norms(bench.model).values():
        module.eval()
    silence_frozen(bench)


@dataclass
class _Loop:
    """One training call's moving parts; lives for that call only. `counted`: steps that were not skipped."""

    bench: Workbench
    examples: Sequence[AnyExample]
    recipe: Recipe
    execution: Execution
    setting: Setting
    trained: list[nn.Parameter]
    anchors: list[tuple[nn.Parameter, Tensor]]
    optimizer: torch.optim.AdamW
    scaler: Scaler | None
    losses: Tensor
    norms: Tensor
    counted: Tensor
    steps: int
    frozen: FrozenLayers | None
    ranks: RankAllocation | None

    @classmethod
    def start(
        cls,
        bench: Workbench,
        examples: Sequence[AnyExample],
        recipe: Recipe,
        *,
        active: Collection[str],
        private: Collection[str],
        execution: Execution,
        setting: Setting,
        steps: int,
    ) -> _Loop:
        import torch

        set_active(bench, active)
        tied = [p for name, p in bench.parameters.items() if p.requires_grad and name not in private]
        set_training_mode(bench)
        return cls(
            bench=bench,
            examples=examples,
            recipe=recipe,
            execution=execution,
            setting=setting,
            trained=[p for p in bench.parameters.values() if p.requires_grad],
            anchors=[(p, p.detach().clone()) for p in tied] if recipe.proximal_mu else [],
            optimizer=_optimizer(bench, active, recipe),
            scaler=scaler_of(execution) if setting.scaler is None else setting.scaler,
            losses=torch.zeros((), device=execution.device),
            norms=torch.zeros((), device=execution.device),
            counted=torch.zeros((), device=execution.device),
            steps=steps,
            frozen=FrozenLayers.of(bench, execution),
            ranks=_allocate(bench, recipe),
        )

    def step(self, number: int, rows: NDArray[np.int64]) -> Step:
        loss = self.setting.place.sum_over(self.trained, self._backward(rows))
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        if self.ranks is not None:
            self.ranks.measure()
        norm = self._adjust_gradients()
        rate = learning_rate(self.recipe, number, self.steps)
        set_learning_rate(self.optimizer, rate)
        moved = self._move()
        self._count(loss, norm)
        return Step(number, rate, loss, norm, moved)

    def _backward(self, rows: NDArray[np.int64]) -> Tensor:
        """Add up the gradients of this process' parts of the rows, each by its share of the step's targets."""
        import torch

        task, place, total = self.bench.task, self.setting.place, torch.zeros((), device=self.execution.device)
        parts = parts_of(rows, self.recipe.accumulate * place.size)
        batches = [task.collate(take(self.examples, part), pad_id=pad_id(self.bench)) for part in parts]
        shares = shares_of(batches, parts)
        for index in range(place.rank, len(parts), place.size):
            share = shares[index]
            loss, whole = self._loss(batches[index], parts[index])
            if share != 1:
                loss, whole = loss * share, whole * share
            torch.autograd.backward(whole if self.scaler is None else self.scaler.scale(whole))
            total += loss.detach()
        return total

    def _loss(self, batch: Mapping[str, Tensor], rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the loss of some rows, and the same with what regularisers add."""
        task, bench = self.bench.task, self.bench
        batch = to_device(batch, self.execution)
        set_mode(bench.own_norms.values(), rows=len(rows))
        with self._given(rows), self.execution.autocast():
            logits = widened(task.logits(bench.model, bench.head, batch))
        whole = loss = task.loss(logits, batch)
        for regulariser in self.setting.regularisers:
            whole = whole + regulariser.term(logits, rows)
        return loss, whole

    def _given(self, rows: NDArray[np.int64]) -> AbstractContextManager[None]:
        if self.frozen is None:
            return nullcontext()
        return self.frozen.given(take(self.examples, rows), pad_id=pad_id(self.bench))

    def _adjust_gradients(self) -> Tensor:
        """Add FedProx' term mu (x - x_t); return the gradient's norm, and clip what is longer than the bound."""
        import torch

        for parameter, anchor in self.anchors:
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - anchor, alpha=self.recipe.proximal_mu)
        gradients = [p.grad for p in self.trained if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.recipe.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self.trained, self.recipe.clip_norm, norm)
        return norm

    def _move(self) -> Tensor | None:
        """Take the optimizer's step; return how far it went where that is asked for."""
        import torch

        before = [p.detach().clone() for p in self.trained] if self.setting.update_norms else None
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if before is None:
            return None
        return torch.nn.utils.get_total_norm([p.detach() - b for p, b in zip(self.trained, before, strict=True)])

    def _count(self, loss: Tensor, norm: Tensor) -> None:
        """Count the step; with a scaler a gradient that is not finite was skipped, and is no divergence."""
        if self.scaler is None:
            self.losses += loss
            self.norms += norm
            self.counted += 1
        else:
            taken = norm.isfinite()
            self.losses += loss.where(taken, 0.0)
            self.norms += norm.where(taken, 0.0)
            self.counted += taken

    def finish(self) -> Trained:
        """Return the mean loss. A round of which every step was skipped learned nothing, and has none."""
        if self.ranks is not None:
            self.ranks.finish()
        loss = float(self.losses / self.counted) if self.steps else 0.0
        tensors = [*self.trained, *statistics(self.bench.own_norms).values()]
        if not np.isfinite(loss) or not all(bool(tensor.isfinite().all()) for tensor in tensors):
            raise RefusedError("TRAINING_DIVERGED")
        return Trained(loss, self.steps, float(self.norms / self.counted) if self.steps else 0.0)


def _allocate(bench: Workbench, recipe: Recipe) -> RankAllocation | None:
    """Prune the ranks that the method does without in this round, where it is one that does so."""
    if not isinstance(bench.method, AllocatesRanks):
        return None
    return bench.method.allocate(bench.parameters, round_number=recipe.round_number, rounds=recipe.rounds)


def _optimizer(bench: Workbench, active: Collection[str], recipe: Recipe) -> torch.optim.AdamW:
    return make_optimizer(
        bench,
        active,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        layer_decay=recipe.layer_decay,
    )
