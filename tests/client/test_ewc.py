"""Elastic weight consolidation: the Fisher information of logistic regression by its formula, and what it holds."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from client.ewc import Ewc, fisher_of_row, make_ewc, penalty
from client.execution import Execution
from client.recipe import Recipe
from client.steps import Setting
from client.training import train
from common.state import digest_state, norm, subtract
from common.tasks import Example
from common.workbench import Workbench

Open = Callable[..., Workbench]
TEXTS = ("fever and cough", "rash", "pulse normal", "sprain and fever", "weight low", "sleep reduced and chills")
TARGETS = np.array((1, 0, 0, 0, 1, 1))


def examples_of(bench: Workbench) -> list[Example]:
    return list(bench.task.encode(bench.reader, TEXTS, TARGETS, max_length=bench.max_length))  # type: ignore[arg-type]


def test_the_fisher_information_is_that_of_logistic_regression() -> None:
    """Logits W x: d log p_c / d W_kj = (1[c = k] - p_k) x_j, so the mean of its square is p_k (1 - p_k) x_j^2."""
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(3, 4)), rng.normal(size=4)
    p = np.exp(w @ x) / np.exp(w @ x).sum()
    parameter = nn.Parameter(torch.tensor(w))
    found = fisher_of_row(parameter @ torch.tensor(x), {"w": parameter})["w"]
    np.testing.assert_allclose(found.numpy(), np.outer(p * (1 - p), x**2), rtol=1e-12)


def test_a_parameter_that_the_row_does_not_reach_does_not_matter() -> None:
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    found = fisher_of_row(used * 2, {"used": used, "unused": unused})
    assert not found["unused"].any()
    assert found["used"].all()


def test_the_penalty_is_its_sum_and_its_gradient_pulls_back() -> None:
    x = nn.Parameter(torch.tensor([1.0, 3.0, -2.0], dtype=torch.float64))
    anchor, fisher = torch.tensor([0.0, 1.0, 1.0]).double(), torch.tensor([2.0, 0.0, 0.5]).double()
    ewc = Ewc(3.0, {"x": x}, {"x": anchor}, {"x": fisher})
    term = ewc.term(torch.zeros(1, 2), np.array([0]))
    assert float(term.detach()) == pytest.approx(3 / 2 * (2 * 1 + 0 * 4 + 0.5 * 9))
    torch.autograd.backward(term)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), 3 * np.array([2 * 1, 0, 0.5 * -3]))
    assert float(penalty({"x": anchor}, {"x": anchor}, {"x": fisher})) == 0


def test_the_mean_over_rows_is_taken_in_evaluation_mode(open_bench: Open) -> None:
    """The head is logistic regression on what the model says of a text: by the formula above, for all rows."""
    bench = open_bench()
    names = {"head.weight", "head.bias"}
    parameters = {name: p for name, p in bench.parameters.items() if name in names}
    ewc = make_ewc(bench, examples_of(bench), parameters, weight=1.0, execution=Execution())
    seen: list[torch.Tensor] = []
    bench.head.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    batch = bench.task.collate(examples_of(bench), pad_id=0)
    bench.model.eval()
    p = bench.task.logits(bench.model, bench.head, batch).detach().double().softmax(-1).numpy()
    spread, squares = p * (1 - p), seen[0].detach().double().numpy() ** 2
    np.testing.assert_allclose(ewc.fisher["head.bias"].numpy(), spread.mean(0), rtol=1e-4)
    expected = np.einsum("nc,nj->cj", spread, squares) / len(TEXTS)
    np.testing.assert_allclose(ewc.fisher["head.weight"].numpy(), expected, rtol=1e-4)
    assert set(ewc.fisher) == set(ewc.anchor) == names


def test_training_stays_the_nearer_the_larger_the_weight(open_bench: Open) -> None:
    distances, recipe = [], Recipe(learning_rate=0.003, batch_size=6, epochs=25, schedule="linear", accumulate=2)
    for weight in (0.0, 100.0, 1e4):
        bench = open_bench()
        start = bench.read()
        ewc = make_ewc(bench, examples_of(bench), bench.parameters, weight=weight, execution=Execution())
        assert digest_state(bench.read()) == digest_state(start)
        train(
            bench,
            examples_of(bench),
            recipe,
            active=bench.parameters,
            execution=Execution(),
            rng=np.random.default_rng(0),
            dropout_seed=0,
            setting=Setting(regularisers=(ewc,)),
        )
        matters = {name: value.numpy() ** 0.5 for name, value in ewc.fisher.items()}
        moved = subtract(bench.read(), start)
        distances.append(norm({name: moved[name] * matters[name] for name in moved}))
    assert distances[0] > 2 * distances[1] > 2 * distances[2]


def test_the_loss_that_is_told_is_the_task_s_alone(open_bench: Open) -> None:
    """Far from the anchor the penalty is huge, and the first step's loss is what it would be without."""
    losses = []
    for weight in (0.0, 1e6):
        bench = open_bench()
        ewc = make_ewc(bench, examples_of(bench), bench.parameters, weight=weight, execution=Execution())
        far = replace(ewc, anchor={name: value + 1 for name, value in ewc.anchor.items()})
        found = train(
            bench,
            examples_of(bench),
            Recipe(learning_rate=1e-3, batch_size=6),
            active=bench.parameters,
            execution=Execution(),
            rng=np.random.default_rng(0),
            dropout_seed=0,
            setting=Setting(regularisers=(far,)),
        )
        losses.append(found.loss)
    assert losses[0] == losses[1]
