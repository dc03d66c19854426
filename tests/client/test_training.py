"""Local training against a loop written by hand: the same batches, AdamW, clipping, schedule and FedProx' term."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from client.batches import training_batches
from client.dropout import CpuStream, dropout_by, noise_by
from client.execution import Execution
from client.recipe import Recipe
from client.schedule import factor
from client.training import Trained, train
from common.errors import RefusedError
from common.state import Array, digest_state, norm, subtract
from common.tasks import Example
from common.workbench import Workbench

RECIPE = Recipe(learning_rate=0.01, batch_size=4, epochs=2, clip_norm=None)
TEXTS = tuple(
    f"{words} pulse {state}" for words in ("fever and cough", "rash", "sprain") for state in ("normal", "low")
)
TARGETS = (1, 1, 0, 0, 0, 1)
DROPOUT = 11
Open = Callable[..., Workbench]


@pytest.fixture
def bench(open_bench: Open) -> Workbench:
    return open_bench()


def examples_of(bench: Workbench) -> list[Example]:
    return bench.task.encode(bench.reader, TEXTS, TARGETS, max_length=bench.max_length)


def ours(
    bench: Workbench,
    recipe: Recipe,
    *,
    active: list[str] | None = None,
    private: tuple[str, ...] = (),
    seed: int = 0,
    dropout: int = DROPOUT,
    precision: str = "fp32",
) -> Trained:
    names = list(bench.parameters) if active is None else active
    return train(
        bench,
        examples_of(bench),
        recipe,
        active=names,
        private=private,
        execution=Execution(precision=precision),  # type: ignore[arg-type] # a Literal
        rng=np.random.default_rng(seed),
        dropout_seed=dropout,
    )


@dataclass(frozen=True)
class ByHand:
    """What the loop below did: the mean loss, and the norm of each step's gradient as it was used."""

    loss: float
    gradients: list[float]


def by_hand(bench: Workbench, recipe: Recipe, *, fused: bool = True, private: tuple[str, ...] = ()) -> ByHand:
    """A PyTorch loop as a textbook has it, with FedProx' term, of shared tensors, in the loss, not in the gradient."""
    examples = examples_of(bench)
    parameters = [bench.parameters[name] for name in sorted(bench.parameters)]
    tied = [bench.parameters[name] for name in sorted(bench.parameters) if name not in private]
    anchors = [p.detach().clone() for p in tied]
    optimizer = torch.optim.AdamW(groups_of(bench, recipe.weight_decay), lr=1.0, fused=fused)
    batches = list(
        training_batches(
            [len(e.input_ids) for e in examples],
            batch_size=recipe.batch_size,
            epochs=recipe.epochs,
            steps=recipe.steps,
            rng=np.random.default_rng(0),
        )
    )
    losses, gradients = [], []
    bench.model.train()
    bench.head.train()
    with dropout_by(noise_by(CpuStream(DROPOUT))):
        for step, index in enumerate(batches):
            at = (recipe.round_number - 1 + step / len(batches)) / recipe.rounds
            scale = factor(at, schedule=recipe.schedule, warmup_fraction=recipe.warmup_fraction)
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * scale
            batch = bench.task.collate([examples[i] for i in index], pad_id=0)
            loss = nn.functional.cross_entropy(bench.task.logits(bench.model, bench.head, batch), batch["targets"])
            losses.append(float(loss.detach()))
            if recipe.proximal_mu:
                moved = sum(((p - a) ** 2).sum() for p, a in zip(tied, anchors, strict=True))
                loss = loss + recipe.proximal_mu / 2 * moved
            optimizer.zero_grad()
            loss.backward()
            gradients.append(clip(parameters, recipe.clip_norm))
            optimizer.step()
    return ByHand(float(np.mean(losses)), gradients)


def groups_of(bench: Workbench, weight_decay: float) -> list[dict[str, Any]]:
    """Of LoRA with a head, only the head's matrix decays."""
    others = [p for name, p in bench.parameters.items() if name != "head.weight"]
    return [
        {"params": [bench.parameters["head.weight"]], "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def clip(parameters: list[nn.Parameter], bound: float | None) -> float:
    """Scale the gradient to the bound where it is longer, and return its length then."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    length = float(torch.sqrt(sum((g**2).sum() for g in gradients)))
    if bound is None or length <= bound:
        return length
    for gradient in gradients:
        gradient *= bound / length
    return bound


def farthest(left: dict[str, Array], right: dict[str, Array]) -> float:
    return max(float(np.abs(left[name] - right[name]).max()) for name in left)


def trained_both(open_bench: Open, recipe: Recipe) -> tuple[dict[str, Array], dict[str, Array], Trained, ByHand]:
    one, other = open_bench(), open_bench()
    found, expected = ours(one, recipe), by_hand(other, recipe)
    return one.read(), other.read(), found, expected


def test_a_plain_recipe_is_the_loop_bit_by_bit(open_bench: Open) -> None:
    left, right, found, expected = trained_both(open_bench, RECIPE)
    assert digest_state(left) == digest_state(right)
    assert found.loss == pytest.approx(expected.loss, rel=1e-6)
    assert found.steps == len(expected.gradients) == 4  # 2 epochs of 6 rows in batches of 4


RECIPES = {
    "weight decay": replace(RECIPE, weight_decay=0.3),
    "clipping": replace(RECIPE, clip_norm=0.2),
    "clipping that never binds": replace(RECIPE, clip_norm=1e6),
    "FedProx": replace(RECIPE, proximal_mu=5.0, epochs=4),
    "FedProx, clipped": replace(RECIPE, proximal_mu=5.0, clip_norm=0.2, epochs=4),
    "linear, with warm-up": replace(RECIPE, schedule="linear", warmup_fraction=0.5, round_number=1, rounds=2),
    "cosine, third round of 4": replace(RECIPE, schedule="cosine", round_number=3, rounds=4),
    "steps": replace(RECIPE, steps=5),
    "larger rate": replace(RECIPE, learning_rate=0.02),
    "batches of one": replace(RECIPE, batch_size=1, epochs=1),
}


@pytest.mark.parametrize("name", RECIPES)
def test_every_part_of_a_recipe_is_what_the_loop_does(name: str, open_bench: Open) -> None:
    left, right, found, expected = trained_both(open_bench, RECIPES[name])
    assert farthest(left, right) < 2e-6
    assert found.loss == pytest.approx(expected.loss, rel=1e-5)


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "clipping that never binds"])
def test_every_part_of_a_recipe_matters(name: str, open_bench: Open) -> None:
    """So that equality with the loop says something."""
    one, other = open_bench(), open_bench()
    ours(one, RECIPES[name])
    ours(other, RECIPE)
    assert farthest(one.read(), other.read()) > 1e-4


def test_the_oracle_s_optimizer_need_not_be_fused(open_bench: Open) -> None:
    one, other = open_bench(), open_bench()
    ours(one, RECIPE)
    by_hand(other, RECIPE, fused=False)
    assert farthest(one.read(), other.read()) < 2e-6


def test_fedprox_holds_the_state_near_where_it_began(open_bench: Open) -> None:
    distances = []
    for mu in (0.0, 1.0, 100.0):
        bench = open_bench()
        before = bench.read()
        ours(bench, replace(RECIPE, epochs=5, proximal_mu=mu))
        distances.append(norm(subtract(bench.read(), before)))
    assert distances[0] > distances[1] > distances[2]


def test_fedprox_ties_no_tensor_that_stays_at_the_site(open_bench: Open) -> None:
    """FedProx measures the distance from what the server sent, and it sent no private tensor."""
    recipe, private = RECIPES["FedProx"], ("head.bias", "head.weight")
    one, other, tied = open_bench(), open_bench(), open_bench()
    ours(one, recipe, private=private)
    by_hand(other, recipe, private=private)
    ours(tied, recipe)
    assert farthest(one.read(), other.read()) < 2e-6
    assert farthest(one.read(), tied.read()) > 1e-4


@pytest.mark.parametrize("mu", [0.0, 1.0])
def test_inactive_tensors_keep_every_bit(mu: float, bench: Workbench) -> None:
    active = [name for name in bench.parameters if "lora_B" in name]
    before = bench.read()
    ours(bench, replace(RECIPE, weight_decay=0.5, proximal_mu=mu), active=active)
    after = bench.read()
    assert {name for name in before if not np.array_equal(before[name], after[name])} == set(active)


def test_a_tensor_that_was_inactive_can_be_active_again(bench: Workbench) -> None:
    before = bench.read()
    ours(bench, RECIPE, active=["head.bias"])
    bench.write(before)
    ours(bench, RECIPE)
    assert not [n for n, a in bench.read().items() if np.array_equal(a, before[n])]


def test_equal_seeds_give_equal_bytes_and_others_do_not(open_bench: Open) -> None:
    def digest(**seeds: int) -> str:
        bench = open_bench()
        ours(bench, RECIPE, **seeds)
        return digest_state(bench.read())

    assert digest() == digest()
    assert len({digest(), digest(seed=1), digest(dropout=DROPOUT + 1)}) == 3


def test_each_call_starts_with_fresh_moments(bench: Workbench) -> None:
    before = bench.read()
    ours(bench, RECIPE)
    first = digest_state(bench.read())
    bench.write(before)
    ours(bench, RECIPE)
    assert digest_state(bench.read()) == first


def test_torch_s_own_generator_is_left_alone_and_not_used(bench: Workbench) -> None:
    before = bench.read()
    digests = []
    for seed in (1, 2):
        bench.write(before)
        torch.manual_seed(seed)
        state = torch.random.get_rng_state()
        ours(bench, RECIPE)
        assert torch.equal(torch.random.get_rng_state(), state)
        digests.append(digest_state(bench.read()))
    assert digests[0] == digests[1]


def test_the_gradient_norm_is_the_mean_over_steps_before_clipping(open_bench: Open) -> None:
    one, other, third = open_bench(), open_bench(), open_bench()
    free = replace(RECIPE, clip_norm=None)
    assert ours(one, free).gradient_norm == pytest.approx(np.mean(by_hand(other, free).gradients), rel=1e-5)
    assert (ours(third, replace(RECIPE, clip_norm=1e-6)).gradient_norm or 0) > 1e-4


def test_bf16_trains_near_fp32(open_bench: Open) -> None:
    one, other = open_bench(), open_bench()
    exact, rounded = ours(one, RECIPE), ours(other, RECIPE, precision="bf16")
    assert rounded.loss == pytest.approx(exact.loss, rel=0.05)
    assert digest_state(one.read()) != digest_state(other.read())
    assert {array.dtype.name for array in other.read().values()} == {"float32"}


@pytest.mark.parametrize("rate", [1e20, 3e38])
def test_divergence_is_refused_with_its_word(rate: float, bench: Workbench) -> None:
    with pytest.raises(RefusedError, match=r"^TRAINING_DIVERGED$"):
        ours(bench, replace(RECIPE, learning_rate=rate, epochs=8))


def test_a_last_step_into_the_void_is_divergence_though_every_loss_was_finite(bench: Workbench) -> None:
    # One step of AdamW moves by the learning rate; weight decay takes lr * wd = 1e40 times the tensor off it.
    with pytest.raises(RefusedError, match="TRAINING_DIVERGED"):
        ours(bench, replace(RECIPE, learning_rate=1e20, weight_decay=1e20, steps=1))


def test_an_infinite_loss_is_divergence_though_every_tensor_is_finite(bench: Workbench) -> None:
    # -3e38 - 3e38 is -inf in float32, so is the log of that class's share; its gradient is 1.
    bench.write({**bench.read(), "head.bias": np.array([3e38, -3e38], np.float32)})
    with pytest.raises(RefusedError, match="TRAINING_DIVERGED"):
        ours(bench, RECIPE, active=["head.weight"])
    assert all(np.isfinite(array).all() for array in bench.read().values())


def test_a_state_that_is_not_finite_is_divergence(bench: Workbench) -> None:
    bench.write({**bench.read(), "head.bias": np.array([np.nan, 0], np.float32)})
    with pytest.raises(RefusedError, match="TRAINING_DIVERGED"):
        ours(bench, RECIPE, active=["head.weight"])
