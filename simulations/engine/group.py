"""Several clients trained as one: their batches side by side through one model, each with its own adapter.

Losses are added up, so that the gradient of a client's numbers is that of its own loss. A client that has no batch left
drops out, with its optimizer's state; clients are sorted by their steps, so those that are left are always the first.
Grouped adapters over one base model are what S-LoRA (Sheng et al. 2023, https://arxiv.org/abs/2311.03285) serves with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any  # transformers' models are untyped

import numpy as np
from numpy.typing import NDArray

from client.batches import take, training_batches
from client.dropout import dropout_by, stream_of
from client.execution import Execution
from client.forward import pad_id, to_device
from client.frozen_layers import FrozenLayers
from client.optimizer import hyper_parameters
from client.scoring import score
from client.steps import Step
from client.training import Trained, set_training_mode
from common.peft_methods import _targets
from common.state import AdapterState
from common.tasks import AnyExample
from common.tasks._precision import widened
from simulations.engine.adamw import GroupedAdamW, clip
from simulations.engine.layout import Here, Layout
from simulations.engine.members import Columns, Member, Numbers, Rates, tensor_like
from simulations.engine.packing import Packing
from simulations.engine.streams import GroupedStreams

if TYPE_CHECKING:
    from torch import Tensor

    from common.workbench import Workbench
    from simulations.engine.replica import Replica


@dataclass(frozen=True)
class GroupTrained:
    """What came out for one client; None where its training diverged, which touches no other."""

    trained: Trained | None
    state: AdapterState


def train_group(
    replica: Replica,
    members: Sequence[Member],
    execution: Execution,
    *,
    packs: bool,
    check_stop: Callable[[], None] = lambda: None,
) -> dict[str, GroupTrained]:
    """Train clients of one batch size, decay and clipping, and of the same active tensors.

    The results, by name, are those that `client.training.train` has for each client alone, but for how sums are
    rounded. `check_stop` is called before each step, and ends the training with what it raises.
    """
    replica.bench.carried.put(replica.bench.model, replica.bench.parameters, {})  # what was scored before may carry
    ordered = sorted(members, key=lambda m: (-m.steps, m.name))
    loop = _Loop.start(replica, ordered, execution, packs=packs)
    try:
        for number in range(ordered[0].steps):
            check_stop()
            loop.step(number)
    finally:
        loop.release()
    return {member.name: loop.result(client) for client, member in enumerate(ordered)}


@dataclass
class _Loop:
    """One group's moving parts."""

    replica: Replica
    members: Sequence[Member]
    execution: Execution
    batches: Sequence[Iterator[NDArray[np.int64]]]
    numbers: Numbers
    anchors: Tensor | None
    mu: Tensor
    optimizer: GroupedAdamW
    rates: Rates
    here: Here
    streams: GroupedStreams
    packing: Packing | None
    frozen: FrozenLayers | None
    losses: Tensor
    norms: Tensor
    holding: AbstractContextManager[None] = field(default_factory=nullcontext)
    held: int = 0

    @classmethod
    def start(cls, replica: Replica, members: Sequence[Member], execution: Execution, *, packs: bool) -> _Loop:
        import torch

        bench, active = replica.bench, members[0].active
        numbers = Numbers.of(members, bench, Columns.of(bench, active))
        here = Here(Layout(()))
        streams = GroupedStreams([stream_of(m.dropout_seed, device=execution.device) for m in members], here)
        frozen = FrozenLayers.of(bench, execution)
        return cls(
            replica=replica,
            members=members,
            execution=execution,
            batches=[_batches(m) for m in members],
            numbers=numbers,
            anchors=numbers.moving.clone() if any(m.recipe.proximal_mu for m in members) else None,
            mu=_proximal(members, numbers),
            optimizer=_optimizer(bench, members[0], numbers),
            rates=Rates.of(members, numbers.moving),
            here=here,
            streams=streams,
            packing=_packing(bench, here, streams, frozen) if packs else None,
            frozen=frozen,
            losses=torch.zeros(len(members), dtype=numbers.moving.dtype, device=execution.device),
            norms=torch.zeros(len(members), dtype=numbers.moving.dtype, device=execution.device),
        )

    def release(self) -> None:
        """Have the model use its own tensors again."""
        self.holding.__exit__(None, None, None)
        self.holding, self.held = nullcontext(), 0

    def _hold(self, clients: int) -> None:
        """Have the model use the first clients' tensors."""
        if clients == self.held:
            return
        self.release()
        set_training_mode(self.replica.bench)
        self.holding = self.replica.holding(self.numbers.grouped(clients, self.here), self.here)
        self.holding.__enter__()
        self.held = clients

    def step(self, number: int) -> None:
        clients = sum(m.steps > number for m in self.members)
        self._hold(clients)
        gradients = self.numbers.gradients[:clients]
        gradients.zero_()
        losses = self._backward([next(batches) for batches in self.batches[:clients]])
        values = self.numbers.moving[:clients]
        if self.anchors is not None:
            gradients.add_(self.mu[:clients] * (values - self.anchors[:clients]))
        norms = gradients.norm(dim=1)
        if (bound := self.members[0].recipe.clip_norm) is not None:
            clip(gradients, norms, bound)
        before = values.clone() if any(m.update_norms for m in self.members) else None
        self.optimizer.step(values, gradients, rates=self.rates.there[number, :clients], number=number + 1)
        self.losses[:clients] += losses
        self.norms[:clients] += norms
        moved = None if before is None else (values - before).norm(dim=1)
        self._tell(number, losses, norms, moved)

    def _tell(self, number: int, losses: Tensor, norms: Tensor, moved: Tensor | None) -> None:
        for client, member in enumerate(self.members[: len(losses)]):
            if member.after_step is not None:
                far = moved[client] if moved is not None and member.update_norms else None
                step = Step(number, self.rates.by_step[number][client], losses[client], norms[client], far)
                member.after_step(step, After(self, client))

    def _backward(self, rows: Sequence[NDArray[np.int64]]) -> Tensor:
        """Add up the gradients of the clients' rows; return each client's loss (clients,)."""
        import torch

        examples = [take(m.examples, each) for m, each in zip(self.members, rows, strict=False)]
        losses = self._losses(examples)
        torch.autograd.backward(losses.sum())
        return losses.detach()

    def _losses(self, examples: Sequence[Sequence[AnyExample]]) -> Tensor:
        """Return the clients' losses (clients,) on these rows."""
        import torch

        bench, task = self.replica.bench, self.replica.bench.task
        together = [example for each in examples for example in each]
        batch = task.collate(together, pad_id=pad_id(bench))
        self.here.layout = Layout(tuple(tuple(e.length for e in each) for each in examples))
        batch = to_device(batch, self.execution)
        with self._around(together), self.execution.autocast():
            logits = widened(task.logits(bench.model, bench.head, batch))
        found, begin = [], 0
        for rows in self.here.layout.rows:
            own = {name: tensor[begin : begin + rows] for name, tensor in batch.items()}
            found.append(task.loss(logits[begin : begin + rows], own))
            begin += rows
        return torch.stack(found)

    @contextmanager
    def _around(self, examples: Sequence[AnyExample]) -> Iterator[None]:
        """Have dropout, packing and frozen layers as they are in training."""
        with ExitStack() as stack:
            if self.frozen is not None:  # first: rows that it does not know yet it computes alone, not packed
                stack.enter_context(self.frozen.given(examples, pad_id=pad_id(self.replica.bench)))
            stack.enter_context(dropout_by(self.streams.noise))
            if self.packing is not None:
                stack.enter_context(self.packing.at_work())
            yield

    def score(self, client: int, examples: Sequence[AnyExample]) -> NDArray[np.float64]:
        """Return scores (n, width) of one client's numbers as they are now."""
        self.release()
        self.replica.bench.write(self.numbers.state(client))
        return score(self.replica.bench, examples, execution=self.execution)

    def result(self, client: int) -> GroupTrained:
        """Return what one client ends with."""
        steps, state = self.members[client].steps, self.numbers.state(client)
        loss = float(self.losses[client] / steps) if steps else 0.0
        finite = bool(np.isfinite(loss)) and bool(self.numbers.moving[client].isfinite().all())
        norm = float(self.norms[client] / steps) if steps else 0.0
        return GroupTrained(Trained(loss, steps, norm) if finite else None, state)


@dataclass(frozen=True)
class After:
    """One client after a step."""

    loop: _Loop
    client: int

    def state(self) -> AdapterState:
        """Return copies of its tensors."""
        return self.loop.numbers.state(self.client)

    def score(self, examples: Sequence[AnyExample]) -> NDArray[np.float64]:
        """Return what its model says of examples, (n, width)."""
        return self.loop.score(self.client, examples)


def _batches(member: Member) -> Iterator[NDArray[np.int64]]:
    recipe, lengths = member.recipe, [e.length for e in member.examples]
    return training_batches(
        lengths, batch_size=recipe.batch_size, epochs=recipe.epochs, steps=recipe.steps, rng=member.rng
    )


def _proximal(members: Sequence[Member], numbers: Numbers) -> Tensor:
    """Return FedProx' mu for each client and number, (clients, width); what nobody sent is tied to nothing."""
    mu = tensor_like([m.recipe.proximal_mu for m in members], numbers.moving)[:, None]
    tied = numbers.columns.marked(lambda name: float(name not in members[0].private), like=numbers.moving)
    return mu * tied


def _optimizer(bench: Workbench, member: Member, numbers: Numbers) -> GroupedAdamW:
    import torch

    recipe = member.recipe
    groups = hyper_parameters(bench, member.active, weight_decay=recipe.weight_decay, layer_decay=recipe.layer_decay)
    factors = {name: group.rate_factor for group in groups for name in group.names}
    decays = {name: group.weight_decay for group in groups for name in group.names}
    return GroupedAdamW(
        torch.zeros_like(numbers.moving),
        torch.zeros_like(numbers.moving),
        numbers.columns.marked(factors.__getitem__, like=numbers.moving),
        numbers.columns.marked(decays.__getitem__, like=numbers.moving),
    )


def _packing(bench: Workbench, here: Here, streams: GroupedStreams, frozen: FrozenLayers | None) -> Packing:
    """Return what packs from the first block that is run."""
    blocks = [block for _, block in _targets.blocks(bench.model)]
    return Packing(here, streams, base_of(bench), blocks[0 if frozen is None else frozen.depth :])


def base_of(bench: Workbench) -> Any:
    """Return the transformers model within what a method made of it."""
    from transformers import PreTrainedModel

    return next(module for module in bench.model.modules() if isinstance(module, PreTrainedModel))
