"""A site whose rank is below the study's trains as one whose model has that rank, in the same scale."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from client.trainer import Trainer
from common.protocol import Reply, Request, RoundPlan
from common.rank_slices import sliced
from common.state import AdapterState, Array

Make = Callable[..., Trainer]
Ask = Callable[..., Request]
RANK, WHOLE = 2, 4
PLAIN = "aggregation.name='sample-plain'"
RANKS = f"federation.ranks={{east={RANK}}}"
REAL = ("peft.rank=2", "peft.alpha=4")
"""A model of that rank: s = 4 / 2, as 8 / 4 of the study's."""
COMMON = (PLAIN, "training.learning_rate=0.05", "training.clip_norm=0.5", "training.batch_size=4")
RECIPES = {
    "clip": (),
    "decay and dropout": ("training.weight_decay=0.3", "peft.dropout=0.3"),
    "proximal": ("aggregation.name='sample-prox'", "aggregation.proximal_mu=2.0"),
    "ewc": ("training.regulariser={kind='ewc', weight=100.0, rows=6}",),
    "distillation": ("training.regulariser={kind='distillation', weight=1.0}",),
    "rslora": ("peft.rslora=true", f"peft.alpha={8 * 2**0.5}"),
}


def replied(trainer: Trainer, request: Request) -> Reply:
    answer = trainer.answer(request)
    assert isinstance(answer, Reply), answer
    return answer


def started(state: AdapterState, seed: int = 3) -> dict[str, Array]:
    """A state in the midst of a study: neither factor is zero."""
    rng = np.random.default_rng(seed)
    return {name: array + rng.normal(0, 0.1, array.shape).astype(np.float32) for name, array in state.items()}


@pytest.mark.parametrize("recipe", RECIPES)
def test_it_is_a_model_of_that_rank(recipe: str, make_trainer: Make, ask: Ask) -> None:
    more = RECIPES[recipe]
    small = make_trainer(*COMMON, RANKS, *more, home="small")
    real_overrides = (*REAL, *more[:1], f"peft.alpha={4 * 2}") if recipe == "rslora" else (*REAL, *more)
    real = make_trainer(*COMMON, *real_overrides, home="real")
    initial = sliced(small.bundle.initial, RANK)
    real = replace(real, bundle=replace(real.bundle, initial=initial))  # it would draw an A of its own
    mu = 2.0 if recipe == "proximal" else 0.0
    for number in (1, 2):
        shared = initial if number == 1 else started(initial)
        plan = RoundPlan(proximal_mu=mu)
        found = replied(small, ask(small.bundle, round=number, shared=shared, plan=replace(plan, rank=RANK)))
        expected = replied(real, ask(real.bundle, round=number, shared=shared, plan=plan))
        assert set(found.update) == set(expected.update)
        for name, array in expected.update.items():
            assert found.update[name].shape == array.shape
            np.testing.assert_allclose(found.update[name], array, rtol=1e-4, atol=2e-6)
        assert any(array.any() for array in found.update.values())
        assert padding(small)
        assert not any(array.any() for array in padding(small))
        assert found.train["loss"] == pytest.approx(expected.train["loss"], rel=1e-5)


def padding(trainer: Trainer) -> list[Array]:
    """What the model has beyond the site's rank."""
    state = trainer.bench.read()
    rows = [array[RANK:] for name, array in state.items() if name.endswith("lora_A.weight")]
    return rows + [array[:, RANK:] for name, array in state.items() if name.endswith("lora_B.weight")]


def test_one_factor_alone_is_cut_too(make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer(RANKS, "aggregation.name='sample-rolora'")
    names = trainer.schema.shared.names
    active = tuple(name for name in names if ".lora_B." in name or name.startswith("head."))
    shared = sliced({name: trainer.bundle.initial[name] for name in names}, RANK)
    reply = replied(trainer, ask(trainer.bundle, shared=shared, plan=RoundPlan(active=active, rank=RANK)))
    assert {reply.update[name].shape for name in active if ".lora_B." in name} == {(32, RANK)}


def test_the_closing_evaluation_is_of_the_site_s_rank(make_trainer: Make, ask_closing: Ask) -> None:
    small = make_trainer(PLAIN, RANKS, home="small")
    real = make_trainer(*REAL, home="real")
    shared = started(sliced(small.bundle.initial, RANK))
    found, expected = (
        replied(trainer, ask_closing(trainer.bundle, shared=shared, plan=plan))
        for trainer, plan in ((small, RoundPlan(rank=RANK)), (real, RoundPlan()))
    )
    for split in ("validation", "test"):
        one, other = (each.evaluations[split].scores.metrics for each in (found, expected))  # type: ignore[index]
        assert one["log_loss"].value == pytest.approx(other["log_loss"].value, rel=1e-5)


def test_a_rank_that_shrank_and_further_figures_are_honoured(make_trainer: Make, ask: Ask) -> None:
    """Held back strongly, the tail of rank 2 of 2 grows less; turned or not, the products are the same."""
    norms: dict[str, float] = {}
    products: dict[str, Any] = {}
    still = {"rotation": 0.0, "rotate_b": 0.0, "tail_penalty": 0.0, "tail_share": 0.5}
    kinds = {
        "plain": {},
        "held": {"tail_penalty": 300.0},
        "turned": {"rotation": 0.6},
        "turned on B": {"rotation": 0.6, "rotate_b": 1.0},
    }
    for kind, figures in kinds.items():
        options = [f"aggregation.{name}={value}" for name, value in figures.items()]
        trainer = make_trainer("federation.ranks={east=3}", "aggregation.name='sample-tails'", *options, home=kind)
        shared = started(sliced(trainer.bundle.initial, RANK))
        plan = RoundPlan(rank=RANK, extra={**still, **figures})
        update = replied(trainer, ask(trainer.bundle, round=2, shared=shared, plan=plan)).update
        after = {name: shared[name] + array for name, array in update.items()}
        a, b = (next(after[n] for n in sorted(after) if n.endswith(f"lora_{x}.weight")) for x in "AB")
        norms[kind] = float(np.linalg.norm(a[1:]) * np.linalg.norm(b[:, 1:]))
        products[kind] = (b @ a, a)
    assert norms["held"] < 0.7 * norms["plain"]
    for kind in ("turned", "turned on B"):
        np.testing.assert_allclose(products[kind][0], products["plain"][0], atol=1e-5)
        assert np.abs(products[kind][1] - products["plain"][1]).max() > 1e-3
