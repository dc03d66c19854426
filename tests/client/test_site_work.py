"""The seam between what a site answers and what computes for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from client.round_training import train_round
from client.scoring import score
from client.site_work import HERE_AND_NOW
from client.steps import PLAIN
from client.training import Trained
from common.errors import RefusedError
from common.protocol import Refusal, Reply, Request
from common.state import AdapterState, digest_state

Make = Callable[..., Any]
Ask = Callable[..., Request]


@dataclass
class Made:
    """Work that somebody else has done: this state, and scores that no model gives."""

    state: AdapterState
    scores: float = 0.25
    diverges: bool = False
    asked: list[str] = field(default_factory=list)

    def receive(self, state: AdapterState, bench: Any) -> None:
        """Nobody else's work needs it."""

    def learned(self, bench: Any) -> AdapterState:
        return self.state

    def train(self, work: Any, bench: Any, examples: Sequence[Any], *, execution: Any, setting: Any) -> Trained:
        self.asked.append("train")
        if self.diverges:
            raise RefusedError("TRAINING_DIVERGED")
        return Trained(0.5, 7, 0.75)

    def score(self, split: Any, bench: Any, examples: Sequence[Any], *, execution: Any) -> NDArray[np.float64]:
        self.asked.append(f"score {split}")
        return np.full((len(examples), bench.task.measure.width), self.scores)


def test_here_and_now_is_the_round_s_training_and_scoring(make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer()
    request, bench, digests = ask(trainer.bundle), trainer.bench, []
    examples = trainer.rows.train.examples
    for train in (HERE_AND_NOW.train, train_round):
        bench.write(trainer.state_before(request))
        found = train(trainer.round_work(request), bench, examples, execution=trainer.execution, setting=PLAIN)
        digests.append((found, digest_state(bench.read())))
    assert digests[0] == digests[1]
    part = trainer.rows.validation.examples
    found = HERE_AND_NOW.score("validation", bench, part, execution=trainer.execution)
    np.testing.assert_array_equal(found, score(bench, part, execution=trainer.execution))


def test_an_answer_is_made_of_what_the_work_gives(make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer()
    state = {name: array + np.float32(0.5) for name, array in trainer.bundle.initial.items()}
    work = Made(state)
    request = ask(trainer.bundle)
    reply = replace(trainer, site_work=work).answer(request)
    assert isinstance(reply, Reply)
    assert work.asked == [*(f"score {split}" for split in request.splits), "train"]
    assert (reply.train["loss"], reply.train["steps"], reply.train["gradient_norm"]) == (0.5, 7, 0.75)
    for name, update in reply.update.items():
        np.testing.assert_array_equal(update, state[name] - request.shared[name])
    # A score of 1/4 for each class of two is a log loss that every model has that says so.
    scores = {split: evaluation.scores for split, evaluation in reply.evaluations.items()}
    for split in request.splits:
        labels = trainer.rows.part(split).labels
        assert scores[split].metrics["auroc"].value in (None, pytest.approx(0.5)), labels


def test_work_that_diverges_is_a_refusal_which_is_kept(make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer()
    work, request = Made(trainer.bundle.initial, diverges=True), ask(trainer.bundle)
    made = replace(trainer, site_work=work)
    assert made.answer(request) == Refusal("TRAINING_DIVERGED") == made.answer(request)
    assert work.asked.count("train") == 1


def test_an_answer_that_is_given_again_asks_for_no_work(make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer()
    work, request = Made(trainer.bundle.initial), ask(trainer.bundle)
    made = replace(trainer, site_work=work)
    first, again = made.answer(request), made.answer(request)
    assert isinstance(first, Reply)
    assert isinstance(again, Reply)
    assert (digest_state(first.update), first.train) == (digest_state(again.update), again.train)
    assert work.asked.count("train") == 1
