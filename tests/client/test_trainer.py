"""A site's half of the round protocol: what it answers, once, and what it keeps."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from client.execution import Execution
from client.policy import Policy
from client.recipe import recipe_of
from client.scoring import score
from client.trainer import Trainer
from client.training import train
from common import wire
from common.errors import CheckpointError
from common.metrics.evaluation import METRICS, evaluate
from common.metrics.histogram import score_histogram
from common.protocol import Answer, Refusal, Reply, Request, RoundPlan, asked_schema
from common.seeds import generator, integer_seed
from common.state import Array, digest_state
from common.study import Study

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


def by_hand(trainer: Trainer, request: Request, private: dict[str, Array] | None = None) -> dict[str, Array]:
    """The state after one round, by calling local training as the protocol says: streams by seed, round and site."""
    bundle, bench = trainer.bundle, trainer.bench
    bench.write({**bundle.initial, **(private or {}), **request.shared})
    active = request.plan.active or bundle.schema.shared.names
    train(
        bench,
        trainer.rows.train.examples,
        recipe_of(bundle.study, round_number=request.round, proximal_mu=request.plan.proximal_mu),
        active={*active, *bundle.schema.private.names},
        private=bundle.schema.private.names,
        execution=Execution(),
        rng=generator(request.seed, round_number=request.round, site=trainer.name, purpose="batches"),
        dropout_seed=integer_seed(request.seed, round_number=request.round, site=trainer.name, purpose="dropout"),
    )
    return bench.read()


def foreseeing(plan: RoundPlan) -> tuple[str, ...]:
    """Overrides by which the study's strategy makes this plan."""
    parts = f"aggregation.parts={[list(plan.active or ['*'])]}"
    return "aggregation.name='sample-family'", parts, f"aggregation.proximal_mu={plan.proximal_mu}"


@pytest.mark.parametrize(
    "plan", [RoundPlan(), RoundPlan(proximal_mu=3.0), RoundPlan(active=("head.bias", "head.weight"))]
)
def test_the_update_is_what_training_added_to_what_was_received(plan: RoundPlan, make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer(*foreseeing(plan))
    shared = {name: array + np.float32(0.01) for name, array in trainer.bundle.initial.items()}
    request = ask(trainer.bundle, plan=plan, shared=shared, round=2)
    reply = replied(trainer.answer(request))
    trained = by_hand(trainer, request)
    names = plan.active or trainer.bundle.schema.shared.names
    assert set(reply.update) == set(names)
    for name in names:
        assert (reply.update[name] == trained[name] - shared[name]).all()
    assert all(np.array_equal(trained[name], shared[name]) for name in set(shared) - set(names))


def test_figures_are_of_the_rows_and_steps_there_were(make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer()
    reply = replied(trainer.answer(ask(trainer.bundle)))
    rows, batch = len(trainer.rows.train), trainer.bundle.study.training.batch_size
    assert reply.examples == rows
    assert reply.train["steps"] == trainings(trainer) == -(-rows // batch)
    assert set(reply.train) == {"loss", "gradient_norm", "steps", "seconds_train", "seconds_evaluate"}
    assert reply.train["loss"] > 0


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_what_is_received_is_evaluated_before_it_is_trained_from(
    kind: str, make_trainer: Make, ask: Ask, ask_closing: Ask
) -> None:
    trainer = make_trainer()
    request = ask(trainer.bundle) if kind == "train" else ask_closing(trainer.bundle)
    reply = replied(trainer.answer(request))
    trainer.bench.write(trainer.bundle.initial)
    assert set(reply.evaluations) == set(request.splits)
    for split in request.splits:
        part = trainer.rows.part(split)
        probabilities = score(trainer.bench, part.examples, execution=Execution())
        rng = generator(0, round_number=request.round, site="east", purpose=f"bootstrap {split}")
        found = reply.evaluations[split]
        assert found.scores == evaluate(probabilities, part.labels, part.patients, resamples=20, rng=rng)
        assert found.summary is not None
        assert (found.summary.counts == score_histogram(probabilities, part.labels, classes=2).counts).all()
        assert set(found.scores.metrics) == set(METRICS)


def test_test_scores_stay_on_the_site_s_disk(make_trainer: Make, ask: Ask, ask_closing: Ask) -> None:
    trainer = make_trainer()
    trainer.answer(ask(trainer.bundle))
    with pytest.raises(CheckpointError, match="FileNotFoundError"):
        trainer.store.test_scores("run-1")
    reply = replied(trainer.answer(ask_closing(trainer.bundle)))
    kept = trainer.store.test_scores("run-1")
    assert kept.shape == (len(trainer.rows.test), 2)
    part = trainer.rows.test
    again = evaluate(kept, part.labels, part.patients, resamples=0, rng=np.random.default_rng(0))
    values = {name: metric.value for name, metric in reply.evaluations["test"].scores.metrics.items()}
    assert {name: metric.value for name, metric in again.metrics.items()} == values


def test_an_evaluation_trains_nothing(make_trainer: Make, ask_closing: Ask) -> None:
    trainer = make_trainer()
    reply = replied(trainer.answer(ask_closing(trainer.bundle)))
    assert trainings(trainer) == 0
    assert reply.update == {}
    assert set(reply.train) == {"seconds_evaluate"}
    assert reply.examples == len(trainer.rows.train)
    assert digest_state(trainer.bench.read()) == digest_state(trainer.bundle.initial)


def test_equal_requests_give_equal_updates_on_any_disk_whatever_came_before(make_trainer: Make, ask: Ask) -> None:
    """Nothing of an earlier request is left in the workbench or in torch."""
    either = ("aggregation.name='sample-family'", "aggregation.parts=[['*'],['head.bias']]")
    one, other = make_trainer(*either, home="one"), make_trainer(*either, home="other")
    request = ask(one.bundle, round=3)
    shared = {name: array + np.float32(0.5) for name, array in one.bundle.initial.items()}
    replied(other.answer(ask(one.bundle, round=2, shared=shared, plan=RoundPlan(active=("head.bias",)))))
    torch.manual_seed(123)
    first, second = replied(one.answer(request)), replied(other.answer(request))
    assert digest_state(first.update) == digest_state(second.update)
    assert first.train["loss"] == second.train["loss"]


def test_site_seed_and_round_each_draw_their_own(make_trainer: Make, ask: Ask) -> None:
    """Where the adapters before are the same: another round is asked with the initial one, as another seed is."""
    trainer, seeded = make_trainer(), make_trainer("seed=1", home="seeded")
    seeded = replace(seeded, bundle=replace(seeded.bundle, initial=trainer.bundle.initial))
    elsewhere = replace(make_trainer(home="elsewhere"), name="elsewhere")
    answers = [
        trainer.answer(ask(trainer.bundle)),
        trainer.answer(ask(trainer.bundle, round=2)),
        seeded.answer(ask(seeded.bundle, seed=1)),
        elsewhere.answer(ask(elsewhere.bundle)),
    ]
    assert len({digest_state(replied(answer).update) for answer in answers}) == 4


def test_the_run_s_name_draws_nothing(make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer(policy=OPEN.model_copy(update={"runs": 2}))
    updates = [replied(trainer.answer(ask(trainer.bundle, run=run))).update for run in ("run-1", "run-2")]
    assert digest_state(updates[0]) == digest_state(updates[1])


def test_a_site_without_training_rows_says_so_and_still_evaluates(
    make_trainer: Make, ask: Ask, ask_closing: Ask
) -> None:
    trainer = make_trainer()
    none = replace(trainer.rows.train, examples=[], labels=trainer.rows.train.labels[:0], patients=[])
    trainer = replace(trainer, rows=replace(trainer.rows, train=none))
    assert trainer.answer(ask(trainer.bundle)) == Refusal("NO_TRAINING_ROWS")
    assert replied(trainer.answer(ask_closing(trainer.bundle))).examples == 0


def test_a_site_without_validation_rows_has_metrics_without_values(make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer()
    none = replace(trainer.rows.validation, examples=[], labels=trainer.rows.train.labels[:0], patients=[])
    trainer = replace(trainer, rows=replace(trainer.rows, validation=none))
    found = replied(trainer.answer(ask(trainer.bundle))).evaluations["validation"]
    assert found.summary is None
    assert {metric.value for metric in found.scores.metrics.values()} == {None}


def rounds(trainer: Trainer, ask: Ask, count: int, plan: RoundPlan) -> Iterator[tuple[Request, Reply]]:
    for number in range(1, count + 1):
        request = ask(trainer.bundle, round=number, plan=plan)
        yield request, replied(trainer.answer(request))


@pytest.mark.parametrize("plan", [RoundPlan(), RoundPlan(proximal_mu=3.0)])
def test_private_tensors_go_on_from_round_to_round_and_survive_a_restart(
    plan: RoundPlan, make_trainer: Make, ask: Ask
) -> None:
    overrides = (PRIVATE_HEAD, *foreseeing(plan))
    first = make_trainer(*overrides)
    updates = [reply.update for _, reply in rounds(first, ask, 2, plan)]
    names = first.bundle.schema.private.names
    private: dict[str, Array] = {}
    for number, update in enumerate(updates, start=1):
        request = ask(first.bundle, round=number, plan=plan)
        state = by_hand(first, request, private)
        private = {name: state[name] for name in names}
        assert set(update) == set(first.bundle.schema.shared.names)
        assert all((update[name] == state[name] - request.shared[name]).all() for name in update)
    restarted = make_trainer(*overrides)
    assert digest_state(restarted.store.private_after("run-1", 2, {})) == digest_state(private)
    state = by_hand(first, ask(first.bundle, round=3, plan=plan), private)
    update = replied(restarted.answer(ask(first.bundle, round=3, plan=plan))).update
    assert all((update[name] == state[name] - first.bundle.initial[name]).all() for name in update)


def test_an_evaluation_uses_the_site_s_own_private_tensors(make_trainer: Make, ask: Ask, ask_closing: Ask) -> None:
    trainer = make_trainer(PRIVATE_HEAD)
    list(rounds(trainer, ask, 3, RoundPlan()))
    request = ask_closing(trainer.bundle)
    replied(trainer.answer(request))
    private = trainer.store.private_after("run-1", 3, {})
    trainer.bench.write({**request.shared, **private})
    expected = score(trainer.bench, trainer.rows.test.examples, execution=Execution())
    assert (trainer.store.test_scores("run-1") == expected).all()


def test_nothing_private_is_in_a_reply_or_in_its_bytes(make_trainer: Make, ask: Ask) -> None:
    trainer = make_trainer(PRIVATE_HEAD)
    schema = trainer.bundle.schema
    for request, reply in rounds(trainer, ask, 2, RoundPlan()):
        assert set(reply.update) == set(schema.shared.names)
        assert reply.extra == {}
        content = wire.encode_answer(reply, asked_schema(schema, request.kind, request.plan))
        private = trainer.store.private_after("run-1", request.round, {})
        secrets = [private[n] for n in schema.private.names]
        secrets += [private[n] - trainer.bundle.initial[n] for n in schema.private.names]
        assert set(content) == {"head", "update"}
        sent = b"".join(array.data for array in content["update"].values())
        assert len(sent) > schema.shared.size_bytes
        numbers = {float(number) for array in secrets for number in array.ravel()} - {0.0}
        # No single number of a private tensor, or of its change, is among the four-byte numbers that were sent.
        payload = np.frombuffer(content["update"]["float32"].data[-schema.shared.size_bytes :], np.float32)
        assert not numbers & {float(number) for number in payload}
        assert "head." not in str(content["head"])


def test_the_recipe_is_the_study_s(make_study: Callable[..., Study]) -> None:
    overrides = ["batch_size=3", "learning_rate=0.5", "weight_decay=0.25", "clip_norm=2", "warmup_fraction=0.125"]
    overrides += ["schedule=cosine", "local_epochs=5"]
    study = make_study(*(f"training.{text}" for text in overrides), "federation.rounds=7")
    recipe = recipe_of(study, round_number=4, proximal_mu=0.5)
    assert (recipe.batch_size, recipe.learning_rate, recipe.weight_decay, recipe.clip_norm) == (3, 0.5, 0.25, 2)
    assert (recipe.warmup_fraction, recipe.schedule, recipe.epochs, recipe.steps) == (0.125, "cosine", 5, None)
    assert (recipe.round_number, recipe.rounds, recipe.proximal_mu) == (4, 7, 0.5)


def test_threads_are_those_of_the_execution_while_it_works_and_given_back(make_trainer: Make, ask: Ask) -> None:
    before = torch.get_num_threads()
    trainer = replace(make_trainer(), execution=Execution(threads=before + 1))
    seen: set[int] = set()
    trainer.bench.head.register_forward_hook(lambda *_: seen.add(torch.get_num_threads()))
    trainer.answer(ask(trainer.bundle))
    assert seen == {before + 1}
    assert torch.get_num_threads() == before
