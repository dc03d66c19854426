"""A step's rows in parts: the gradient is that of one big batch, however many parts and however unequal."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from client.execution import Execution
from client.recipe import Recipe
from client.training import train
from common.tasks import Example
from common.tasks._losses import IGNORED, cross_entropy
from common.workbench import Workbench

RECIPE = Recipe(learning_rate=0.01, batch_size=5, epochs=3, weight_decay=0.1, clip_norm=0.1)
TEXTS = ("fever and cough", "rash", "pulse normal", "sprain and fever", "weight low", "sleep reduced", "chills") * 2
TARGETS = np.array((1, 0, 0, 0, 1, 1, 0) * 2)
Open = Callable[..., Workbench]
State = dict[str, torch.Tensor]


def in_double(open_bench: Open) -> Workbench:
    """A workbench in float64 without any dropout, which parts would draw otherwise."""
    bench = open_bench("peft={method='lora', dropout=0.0}")
    for module in (bench.model, bench.head):
        module.double()
        for each in module.modules():
            if isinstance(each, torch.nn.Dropout):
                each.p = 0.0
    return replace(bench, task=InDouble(bench.task))  # type: ignore[arg-type] # all that a task has, by delegation


class InDouble:
    """A task whose head and logits stay in float64."""

    def __init__(self, inner: object, *, ignored: bool = False) -> None:
        self._inner, self._ignored = inner, ignored

    def logits(self, model: torch.nn.Module, head: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        mask = batch["attention_mask"]
        hidden = model(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).double()
        logits: torch.Tensor = head((hidden * weights).sum(1) / weights.sum(1))
        return Unrounded(logits)

    def collate(self, examples: list[Example], *, pad_id: int) -> dict[str, torch.Tensor]:
        batch: dict[str, torch.Tensor] = self._inner.collate(examples, pad_id=pad_id)  # type: ignore[attr-defined]
        longest = max(len(e.input_ids) for e in examples)
        return (
            {**batch, "targets": torch.where(batch["input_ids"][:, 1] % 3 == 0, IGNORED, batch["targets"])}
            if (self._ignored and longest)
            else batch
        )

    def loss(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return cross_entropy(logits.as_subclass(torch.Tensor), batch["targets"])  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


class Unrounded(torch.Tensor):
    """Logits that `.float()` leaves as they are, so that sums can be compared to the last digits."""

    def float(self, *_: object, **__: object) -> torch.Tensor:  # type: ignore[override]
        return self


def trained(bench: Workbench, recipe: Recipe) -> tuple[State, float]:
    found = train(
        bench,
        list(bench.task.encode(bench.reader, TEXTS, TARGETS, max_length=bench.max_length)),
        recipe,
        active=bench.parameters,
        execution=Execution(),
        rng=np.random.default_rng(0),
        dropout_seed=0,
    )
    return {name: p.detach().clone() for name, p in bench.parameters.items()}, found.loss


def farthest(left: State, right: State) -> float:
    return max(float((left[name] - right[name]).abs().max()) for name in left)


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("parts", [2, 3, 5, 64])
def test_parts_are_one_big_batch(parts: int, ignored: bool, open_bench: Open) -> None:
    """14 rows in batches of 5: the last has 4, which no 3 parts share evenly; ignored targets do not count."""
    states = []
    for accumulate in (1, parts):
        bench = in_double(open_bench)
        bench = replace(bench, task=InDouble(bench.task._inner, ignored=ignored))  # type: ignore[attr-defined, arg-type]
        states.append(trained(bench, replace(RECIPE, accumulate=accumulate)))
    assert farthest(states[0][0], states[1][0]) < 1e-12
    assert states[0][1] == pytest.approx(states[1][1], rel=1e-6)  # losses are summed in float32


def test_the_mean_of_unequal_parts_would_be_another_gradient(open_bench: Open) -> None:
    """So that equality says something: with other rows per step the result differs."""
    first, _ = trained(in_double(open_bench), RECIPE)
    other, _ = trained(in_double(open_bench), replace(RECIPE, batch_size=3))
    assert farthest(first, other) > 1e-4


def test_parts_need_less_of_the_model_at_once(open_bench: Open) -> None:
    """The longest batch that the model sees is a part."""
    bench, seen = in_double(open_bench), list[int]()
    bench.head.register_forward_hook(lambda _module, _inputs, output: seen.append(len(output)))
    trained(bench, replace(RECIPE, accumulate=2, epochs=1))
    assert seen == [3, 2, 3, 2, 2, 2] or sorted(seen) == [2, 2, 2, 2, 3, 3]
