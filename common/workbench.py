"""The resident model: base, adapter and head, loaded once per process, its trainable tensors read and written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast  # tokenizers are untyped

import numpy as np

from common import models, plugins
from common.carried import split_carried
from common.errors import StudyError
from common.peft_methods import StartsFromText
from common.peft_methods._batch_norms import own_norms, statistics
from common.peft_methods._carried import CarriedLayers
from common.state import HEAD, AdapterState, Array
from common.study import Study
from common.study_task import task_of
from common.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor, nn

    from common.peft_methods import PeftMethod

SHORTEST_TEXT = 4
"""Positions of the shortest text worth reading, two special tokens included; the least of `task.max_length`."""


@dataclass
class Kept:
    """States of rows after frozen layers, by the id of the example, which is kept with them; see `client`.

    in_tuple: whether the base model's blocks return their states within a tuple.
    """

    states: dict[int, tuple[object, Any]] = field(default_factory=dict)
    size_bytes: int = 0
    in_tuple: bool = False


@dataclass(frozen=True)
class Workbench:
    """Base model with the method attached, the task's head, and the trainable parameters by canonical name, sorted.

    `reader` is the tokenizer, or what else reads inputs.
    `base_parameters` counts the base model's that stay frozen: a method may train some of its own.
    `frozen_dropout`: whether frozen layers train with the base model's dropout; without it their states can be `kept`.
    `own_norms`: the BatchNorms, by canonical name, whose running statistics the site learns and keeps.
    `carried`: what the last state that was written carries beside the adapter (`common.carried`).
    `max_length` is the study's, less the method's virtual tokens where the model has no room for both.
    """

    method: PeftMethod
    task: Task
    model: nn.Module
    head: nn.Module
    parameters: Mapping[str, nn.Parameter]
    reader: Any
    max_length: int
    base_parameters: int
    frozen_dropout: bool = True
    own_norms: Mapping[str, nn.Module] = field(default_factory=dict)
    kept: Kept = field(default_factory=Kept, repr=False, compare=False)
    carried: CarriedLayers = field(default_factory=CarriedLayers, repr=False, compare=False)

    def write(self, state: AdapterState) -> None:
        """Copy `state` into the model's tensors, whose names and shapes it must have; carry what it has beside them."""
        import torch

        self.carried.put(self.model, self.parameters, split_carried(state)[1])
        with torch.no_grad():
            for name, tensor in self._tensors().items():
                tensor.copy_(torch.tensor(np.asarray(state[name], order="C")))

    def write_some(self, state: Mapping[str, Tensor]) -> None:
        """Copy these into those of the model's tensors that have their names, and leave the others as they are."""
        import torch

        tensors = self._tensors()
        with torch.no_grad():
            for name, value in state.items():
                tensors[name].copy_(value)

    def read(self) -> dict[str, Array]:
        """Return copies of trainable tensors, float32 on the CPU, of statistics of `own_norms`, of what is carried."""
        found = {name: tensor.detach().cpu() for name, tensor in self._tensors().items()}
        own = {name: (t.float() if t.is_floating_point() else t).numpy().copy() for name, t in found.items()}
        return {**own, **{name: array.copy() for name, array in self.carried.state.items()}}

    def _tensors(self) -> dict[str, Tensor]:
        return dict(sorted({**self.parameters, **statistics(self.own_norms)}.items()))

    def to(self, device: str) -> Workbench:
        """Move model and head to `device`, in place, and return self."""
        self.model.to(device)
        self.head.to(device)
        return self


def open_workbench(
    study: Study,
    base_folder: Path,
    *,
    attention: str = "eager",
    seed: int = 0,
    load: Callable[..., nn.Module] = models.load_base,
    to_train: bool = True,
) -> Workbench:
    """Load the base model, attach the study's method and head, drawn from `seed`; nothing global is touched.

    load: as `models.load_base`, for a folder whose weights are kept in another form. to_train: whether there must be
    something to train.
    """
    import torch

    from common.seeds import integer_seed

    method = _method_of(study)
    task = task_of(study.task)
    base = load(base_folder, attention=attention, architecture=task.architecture)
    reader = task.open_reader(base_folder)
    of_base, hidden = list(base.parameters()), models.hidden_size(base)
    max_length = _max_length(study.task.max_length, base, method.virtual_tokens)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(integer_seed(seed, purpose="initial adapter"))
        model = method.attach(base)
        if isinstance(method, StartsFromText):
            method.start(model, reader)
        head = task.build_head(hidden_size=hidden)
    parameters = {**method.trainable(model), **{HEAD + name: p for name, p in head.named_parameters()}}
    if to_train:
        _check_trains(parameters, study)
    return Workbench(
        method=method,
        task=task,
        model=model,
        head=head,
        parameters=dict(sorted(parameters.items())),
        reader=reader,
        max_length=max_length,
        base_parameters=sum(p.numel() for p in of_base if not p.requires_grad),
        frozen_dropout=study.training.frozen_dropout,
        own_norms=own_norms(model, parameters, study.peft.private),
    )


def _method_of(study: Study) -> PeftMethod:
    found = plugins.build("common.peft_methods", study.peft.method, study.peft.options, key="peft.method")
    return cast("PeftMethod", found)


def _check_trains(parameters: Mapping[str, nn.Parameter], study: Study) -> None:
    if not parameters:
        raise StudyError(
            f"peft.method = {study.peft.method!r} trains nothing but the task's head, and {study.task.kind} has none; "
            "expected a method that changes the base model, such as lora"
        )


def _max_length(wanted: int, base: Any, virtual_tokens: int) -> int:
    """Positions are shared between virtual tokens and text, so long inputs get shorter by the virtual tokens."""
    positions = int(getattr(base.config, "max_position_embeddings", wanted + virtual_tokens))
    room = positions - virtual_tokens
    if room < SHORTEST_TEXT:
        raise StudyError(
            f"the PEFT method takes {virtual_tokens} of the base model's {positions} positions, which leaves "
            f"{max(room, 0)} for the text; expected at least {SHORTEST_TEXT}: use fewer virtual tokens"
        )
    return min(wanted, room)
