"""Which regulariser a study's training has, made where the study began and not where the round did."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from client.distillation import Distillation
from client.ewc import Ewc
from client.execution import Execution
from client.forward import logits_of
from client.regulariser import Regulariser, regularisers_of
from client.trainer import Trainer
from common.protocol import Reply, Request
from common.state import Array, digest_state
from common.study import Study

Make = Callable[..., Trainer]
Ask = Callable[..., Request]
EWC = "training.regulariser={kind='ewc', weight=1000.0, rows=3}"
DISTILLATION = "training.regulariser={kind='distillation', weight=1000.0}"


def made(trainer: Trainer, *, seed: int = 0) -> tuple[Regulariser, ...]:
    return regularisers_of(
        trainer.bundle.study.training.regulariser,
        trainer.bench,
        trainer.rows.train.examples,
        initial=trainer.bundle.initial,
        active=[name for name in trainer.schema.names if name != "head.bias"],
        execution=Execution(),
        rng=np.random.default_rng(seed),
    )


def elsewhere(trainer: Trainer) -> dict[str, Array]:
    rng = np.random.default_rng(1)
    return {n: a + rng.normal(0, 0.1, a.shape).astype(np.float32) for n, a in trainer.bundle.initial.items()}


def test_a_study_has_none_unless_it_says_so(make_trainer: Make) -> None:
    assert made(make_trainer()) == ()


@pytest.mark.parametrize(("override", "kind"), [(EWC, Ewc), (DISTILLATION, Distillation)])
def test_it_is_made_at_the_initial_adapter_and_leaves_what_was_received(
    override: str, kind: type, make_trainer: Make
) -> None:
    trainer = make_trainer(override)
    received = elsewhere(trainer)
    trainer.bench.write(received)
    (later,) = made(trainer)
    assert digest_state(trainer.bench.read()) == digest_state(received)
    trainer.bench.write(trainer.bundle.initial)
    (first,) = made(trainer)
    assert isinstance(later, kind)
    assert same(first, later)


def same(first: Any, second: Any) -> bool:
    if isinstance(first, Distillation):
        return bool((first.teacher == second.teacher).all())
    assert "head.bias" not in first.fisher  # it is not trained
    return all(bool((first.fisher[n] == second.fisher[n]).all()) for n in first.fisher) and all(
        bool((first.anchor[n] == second.anchor[n]).all()) for n in first.anchor
    )


@pytest.mark.parametrize("override", [EWC, DISTILLATION])
def test_a_site_s_update_is_held_back_by_it(override: str, make_trainer: Make, ask: Ask) -> None:
    """By its own measure of how far a state is: AdamW's steps are as long as without."""
    rate = "training.learning_rate=0.002"
    free, held = make_trainer(rate, home="free"), make_trainer(rate, override, home="held")
    far = []
    (regulariser,) = made(held)
    for trainer in (free, held):
        answer = trainer.answer(ask(trainer.bundle))
        assert isinstance(answer, Reply)
        held.bench.write({name: held.bundle.initial[name] + answer.update[name] for name in answer.update})
        examples = held.rows.train.examples
        with torch.no_grad():
            logits = logits_of(held.bench, examples, Execution())
            far.append(float(regulariser.term(logits, np.arange(len(examples)))))
    assert far[1] < 0.5 * far[0]


def test_the_same_request_has_the_same_answer_at_a_site_that_starts_anew(make_trainer: Make, ask: Ask) -> None:
    first, again = (make_trainer(EWC, home=home) for home in ("first", "again"))
    again.bench.write(elsewhere(again))
    answers = [trainer.answer(ask(trainer.bundle)) for trainer in (first, again)]
    digests = [digest_state(answer.update) for answer in answers if isinstance(answer, Reply)]
    assert len(digests) == 2
    assert digests[0] == digests[1]


def test_more_rows_than_there_are_is_all_of_them(make_trainer: Make) -> None:
    trainer = make_trainer("training.regulariser={kind='ewc', weight=1.0, rows=100000}")
    everything = replace(trainer)
    assert same(made(trainer, seed=1)[0], made(everything, seed=2)[0])


def test_a_study_s_digest_knows_it(make_study: Callable[..., Study]) -> None:
    assert len({make_study().digest, make_study(EWC).digest, make_study(DISTILLATION).digest}) == 3
