"""A site that is asked again: the same bytes to the same request, a refusal to another, and a line for each."""

import json
from collections.abc import Callable
from typing import Any

from client.policy import Policy
from client.trainer import Trainer
from common.answers import payload_digest, to_json
from common.bundle import Bundle
from common.metrics.evaluation import METRICS
from common.protocol import Answer, Refusal, Reply, Request, RoundPlan
from common.state import Array, digest_state

Make = Callable[..., Trainer]
Ask = Callable[..., Request]
OPEN = Policy(release_histograms=True, minimum_patients=0, minimum_class_patients=0)
PRIVATE_HEAD = "peft.private=['head.*']"


def trainings(trainer: Trainer) -> int:
    """Number of training steps so far: losses asked for."""
    return trainer.bench.task.losses  # type: ignore[attr-defined,no-any-return] # the counting task of conftest


def replied(answer: Answer) -> Reply:
    assert isinstance(answer, Reply), answer
    return answer


def same(left: Answer, right: Answer) -> bool:
    one, other = replied(left), replied(right)
    return to_json(one) == to_json(other) and digest_state(one.update) == digest_state(other.update)


def journal(trainer: Trainer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in trainer.gate.journal.path.read_text().splitlines()]


def poisoned(bundle: Bundle, value: float) -> dict[str, Array]:
    shared = {name: bundle.initial[name].copy() for name in bundle.schema.shared.names}
    next(iter(shared.values()))[...] = value
    return shared


def test_the_same_request_is_answered_with_the_same_answer_and_trained_once(make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer()
    request = ask(trainer.bundle)
    first = trainer.answer(request)
    steps = trainings(trainer)
    assert same(trainer.answer(request), first)
    assert trainings(trainer) == steps
    restarted = make_trainer()
    assert same(restarted.answer(request), first)
    assert trainings(restarted) == 0


def test_a_round_is_answered_once(make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer("aggregation.name='sample-family'", "aggregation.parts=[['*'],['head.*']]")
    replied(trainer.answer(ask(trainer.bundle, round=2)))
    steps = trainings(trainer)
    for changes in (
        {"plan": RoundPlan(active=("head.bias", "head.weight"))},
        {"shared": poisoned(trainer.bundle, 0.5)},
    ):
        again = ask(trainer.bundle, round=2, **changes)
        assert trainer.answer(again) == Refusal("ROUND_ALREADY_ANSWERED")
    assert trainer.answer(ask(trainer.bundle, round=1)) == Refusal("ROUND_IN_THE_PAST")
    assert trainings(trainer) == steps


def test_a_refusal_by_policy_is_kept_so_that_asking_again_does_not_wear_it_down(make_trainer: Make, ask: Ask) -> None:
    strict = make_trainer(policy=OPEN.model_copy(update={"max_update_norm": 1e-6}))
    request = ask(strict.bundle)
    assert strict.answer(request) == Refusal("REFUSED_BY_POLICY")
    steps = trainings(strict)
    lenient = make_trainer()
    assert lenient.answer(request) == strict.answer(request) == Refusal("REFUSED_BY_POLICY")
    assert (trainings(strict), trainings(lenient)) == (steps, 0)
    found = [(line["decision"], line["reason"]) for line in journal(strict)]
    assert found == [("refused", "update norm over 1e-06"), *[("refused", "REFUSED_BY_POLICY")] * 2]


def test_a_divergence_is_an_answer_that_is_kept(make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer("training={learning_rate=3e38, local_steps=2, batch_size=8}", PRIVATE_HEAD)
    request = ask(trainer.bundle)
    assert trainer.answer(request) == Refusal("TRAINING_DIVERGED")
    steps = trainings(trainer)
    assert trainer.answer(request) == Refusal("TRAINING_DIVERGED")
    assert trainings(trainer) == steps == 2
    initial = {name: trainer.bundle.initial[name] for name in trainer.bundle.schema.private.names}
    kept = trainer.store.private_after("run-1", 1, {})
    assert digest_state(kept) == digest_state(initial)


def test_each_answer_has_its_line_in_the_journal_each_time_that_it_leaves(make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer()
    for number in (1, 2):
        request = ask(trainer.bundle, round=number)
        reply = replied(trainer.answer(request))
        trainer.answer(request)
        assert len(journal(trainer)) == 2 * request.round
        first, second = journal(trainer)[-2:]
        assert (first.pop("decision"), second.pop("decision")) == ("released", "repeated")
        assert {**first, "time": None} == {**second, "time": None}
        assert first["digest"] == payload_digest(reply)
        assert (first["round"], first["examples"]) == (request.round, len(trainer.rows.train))
        assert first["histograms"] == ["validation"]
        assert first["metrics"] == sorted(f"validation {name}" for name in METRICS)
