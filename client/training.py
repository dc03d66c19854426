"""Local training: some epochs of AdamW over a site's rows, from the state that is in the workbench.

AdamW is Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101; its moments start afresh in each call.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any  # torch's GradScaler and optimizer are untyped in part

import numpy as np

from client.batches import count_steps, take, training_batches
from client.execution import Execution
from client.frozen_layers import FrozenLayers, silence_frozen
from client.schedule import Schedule, factor, progress
from common.errors import RefusedError
from common.peft_methods._batch_norms import batch_norms, set_mode, statistics
from common.tasks import AnyExample
from common.workbench import Workbench

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass(frozen=True)
class Recipe:
    """Hyper-parameters of local training, and where in the study this call is (see `client.schedule`).

    clip_norm: bound on the Euclidean norm of each step's gradient. proximal_mu: FedProx' mu, 0 is none; it ties shared
    tensors to what was received, and private ones, which nobody sent, to nothing.
    """

    learning_rate: float
    batch_size: int
    epochs: int = 1
    steps: int | None = None
    weight_decay: float = 0.0
    clip_norm: float | None = None
    schedule: Schedule = "constant"
    warmup_fraction: float = 0.0
    round_number: int = 1
    rounds: int = 1
    proximal_mu: float = 0.0


@dataclass(frozen=True)
class Trained:
    """What a training call measured: the mean loss over steps, and how many steps."""

    loss: float
    steps: int


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
    after_step: Callable[[int], None] | None = None,
) -> Trained:
    """Train the tensors named in `active`, in place; RefusedError("TRAINING_DIVERGED") if the loss is not finite.

    `private` are those of them that stay at the site.
    Batches come from `rng`, dropout from `dropout_seed`; torch's global generator is left as it was.
    """
    import torch

    lengths = [e.length for e in examples]
    steps = count_steps(len(examples), batch_size=recipe.batch_size, epochs=recipe.epochs, steps=recipe.steps)
    batches = training_batches(lengths, batch_size=recipe.batch_size, epochs=recipe.epochs, steps=recipe.steps, rng=rng)
    loop = _Loop.start(bench, recipe, active=active, private=private, execution=execution, steps=steps)
    with torch.random.fork_rng(devices=_cuda_devices(execution)):
        torch.manual_seed(dropout_seed)
        for step, index in enumerate(batches):
            loop.step(step, take(examples, index))
            if after_step is not None:
                after_step(step)
    return loop.finish()


def _cuda_devices(execution: Execution) -> list[str]:
    return [execution.device] if execution.device.startswith("cuda") else []


def set_training_mode(bench: Workbench) -> None:
    """Put the model in training mode, but for silent frozen layers, and BatchNorms: each batch sets the site's own."""
    bench.model.train()
    bench.head.train()
    for module in batch_norms(bench.model).values():
        module.eval()
    silence_frozen(bench)


@dataclass
class _Loop:
    """One training call's moving parts; lives for that call only."""

    bench: Workbench
    recipe: Recipe
    execution: Execution
    trained: list[nn.Parameter]
    anchors: list[tuple[nn.Parameter, Tensor]]
    optimizer: torch.optim.AdamW
    scaler: Any
    losses: Tensor
    steps: int
    frozen: FrozenLayers | None

    @classmethod
    def start(
        cls,
        bench: Workbench,
        recipe: Recipe,
        *,
        active: Collection[str],
        private: Collection[str],
        execution: Execution,
        steps: int,
    ) -> _Loop:
        import torch

        for name, parameter in bench.parameters.items():
            parameter.requires_grad_(name in active)
            parameter.grad = None
        trained = [p for p in bench.parameters.values() if p.requires_grad]
        tied = [p for name, p in bench.parameters.items() if p.requires_grad and name not in private]
        anchors = [(p, p.detach().clone()) for p in tied] if recipe.proximal_mu else []
        set_training_mode(bench)
        return cls(
            bench=bench,
            recipe=recipe,
            execution=execution,
            trained=trained,
            anchors=anchors,
            optimizer=_optimizer(trained, recipe),
            scaler=torch.amp.GradScaler("cuda") if execution.precision == "fp16" else None,
            losses=torch.zeros((), device=execution.device),
            steps=steps,
            frozen=FrozenLayers.of(bench, execution),
        )

    def step(self, step: int, examples: Sequence[AnyExample]) -> None:
        loss = self._loss(examples)
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()
        self.losses += loss.detach()
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        self._adjust_gradients()
        self._set_learning_rate(step)
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)

    def _loss(self, examples: Sequence[AnyExample]) -> Tensor:
        task, bench = self.bench.task, self.bench
        batch = to_device(task.collate(examples, pad_id=pad_id(bench)), self.execution)
        set_mode(bench.own_norms.values(), rows=len(examples))
        with self._given(examples), self.execution.autocast():
            logits = task.logits(bench.model, bench.head, batch)
        return task.loss(logits.float(), batch)

    def _given(self, examples: Sequence[AnyExample]) -> AbstractContextManager[None]:
        return nullcontext() if self.frozen is None else self.frozen.given(examples, pad_id=pad_id(self.bench))

    def _adjust_gradients(self) -> None:
        """Add FedProx' term mu (x - x_t) before the gradient is clipped."""
        import torch

        for parameter, anchor in self.anchors:
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - anchor, alpha=self.recipe.proximal_mu)
        if self.recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.trained, self.recipe.clip_norm)

    def _set_learning_rate(self, step: int) -> None:
        recipe = self.recipe
        at = progress(round_number=recipe.round_number, step=step, steps=self.steps, rounds=recipe.rounds)
        rate = recipe.learning_rate * factor(at, schedule=recipe.schedule, warmup_fraction=recipe.warmup_fraction)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def finish(self) -> Trained:
        loss = float(self.losses) / max(self.steps, 1)
        tensors = [*self.trained, *statistics(self.bench.own_norms).values()]
        if not np.isfinite(loss) or not all(bool(tensor.isfinite().all()) for tensor in tensors):
            raise RefusedError("TRAINING_DIVERGED")
        return Trained(loss=loss, steps=self.steps)


def _optimizer(trained: Sequence[nn.Parameter], recipe: Recipe) -> torch.optim.AdamW:
    import torch

    return torch.optim.AdamW(trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)


def pad_id(bench: Workbench) -> int:
    """Return the reader's padding id; decoders without one pad with 0, which the mask hides, and images need none."""
    return int(getattr(bench.reader, "pad_token_id", None) or 0)


def to_device(batch: Mapping[str, Tensor], execution: Execution) -> Mapping[str, Tensor]:
    """Move a batch to the execution's device; nothing to do on a CPU."""
    if execution.device == "cpu":
        return batch
    return {name: tensor.to(execution.device, non_blocking=True) for name, tensor in batch.items()}
