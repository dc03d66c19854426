"""FedBN: a site's BatchNorms learn from its own rows, are kept for each round, and are nobody else's."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from client.batches import take, training_batches
from client.execution import Execution
from client.recipe import Recipe
from client.scoring import score
from client.trainer import Trainer
from client.training import train
from common.errors import RefusedError
from common.protocol import Answer, Reply, Request
from common.state import AdapterState, digest_state

Make = Callable[..., Trainer]
Ask = Callable[..., Request]
OWN = "peft={method='layer-norm', private=['*.normalization.*']}"
TOP = "peft={method='full', private=['encoder.stages.1.*']}"
NONE = "peft={method='full'}"
FIRST = "embedder.embedder.normalization"
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def reply_of(answer: Answer) -> Reply:
    assert isinstance(answer, Reply), answer
    return answer


def private_of(trainer: Trainer, round_number: int) -> AdapterState:
    initial = {name: trainer.bundle.initial[name] for name in trainer.schema.private.names}
    return trainer.store.private_after("run-1", round_number, initial)


def statistics_of(trainer: Trainer) -> dict[str, Any]:
    found = trainer.bench.model.named_buffers()
    return {name: tensor.clone() for name, tensor in found if name.endswith(STATISTICS)}


def test_buffers_of_matched_norms_are_private_tensors_and_no_others(make_pixel_trainer: Make) -> None:
    own, top = make_pixel_trainer(OWN), make_pixel_trainer(TOP)
    norms = {name.rpartition(".")[0] for name in statistics_of(own)}
    expected = {f"{norm}.{end}" for norm in norms for end in ("weight", "bias", *STATISTICS)}
    assert set(own.schema.private.names) == expected
    assert set(own.schema.shared.names) == {"head.weight", "head.bias"}
    found = {name for name in top.schema.names if name.endswith(STATISTICS)}
    assert found == {name for name in statistics_of(top) if name.startswith("encoder.stages.1.")} != set()
    assert not any(name.endswith(STATISTICS) for name in make_pixel_trainer(NONE).schema.names)
    kinds = {(t.name.rpartition(".")[2], t.dtype) for t in own.schema.tensors if t.name.startswith(FIRST)}
    assert ("num_batches_tracked", "int64") in kinds
    own.schema.check(own.bench.read())


def test_statistics_are_private_where_a_pattern_names_the_scale_alone(make_pixel_trainer: Make) -> None:
    found = make_pixel_trainer("peft={method='layer-norm', private=['*.normalization.weight']}").schema
    assert {name.rpartition(".")[2] for name in found.private.names} == {"weight", *STATISTICS}
    assert {name.rpartition(".")[2] for name in found.shared.names} == {"bias", "weight"}
    assert "head.weight" in found.shared.names


@pytest.mark.parametrize("study", [OWN, TOP, NONE])
def test_only_a_site_s_own_norms_learn(study: str, make_pixel_trainer: Make, ask: Ask) -> None:
    trainer = make_pixel_trainer(study)
    before = statistics_of(trainer)
    reply_of(trainer.answer(ask(trainer.bundle)))
    after = statistics_of(trainer)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == set(before) & set(trainer.schema.private.names)


def test_statistics_are_moving_means_over_the_site_s_batches(make_pixel_trainer: Make) -> None:
    """m <- 0.9 m + 0.1 mean of a batch, and so the variance over n - 1 (Ioffe and Szegedy 2015), by plain numpy."""
    trainer = make_pixel_trainer(OWN)
    bench, examples = trainer.bench, trainer.rows.train.examples
    convolution = bench.model.get_submodule("embedder.embedder.convolution")
    names = [f"{FIRST}.{end}" for end in STATISTICS]
    mean, variance, count = (bench.read()[name] for name in names)
    lengths = [example.length for example in examples]
    for index in training_batches(lengths, batch_size=4, epochs=1, steps=3, rng=np.random.default_rng(0)):
        pixels = bench.task.collate(take(examples, index), pad_id=0)["pixel_values"]
        values = convolution(pixels).numpy().transpose(1, 0, 2, 3).reshape(16, -1).astype(np.float64)
        mean = 0.9 * mean + 0.1 * values.mean(axis=1)
        variance = 0.9 * variance + 0.1 * values.var(axis=1, ddof=1)
    fit(trainer, examples, steps=3)
    found = [bench.read()[name] for name in names]
    np.testing.assert_allclose(found[0], mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[1], variance, rtol=1e-4, atol=1e-5)
    assert found[2] == count + 3


def fit(trainer: Trainer, examples: Any, *, steps: int) -> None:
    train(
        trainer.bench,
        examples,
        Recipe(learning_rate=0.01, batch_size=4, steps=steps),
        active=trainer.schema.names,
        execution=Execution(),
        rng=np.random.default_rng(0),
        dropout_seed=0,
    )


def test_a_batch_of_one_row_teaches_nothing_about_spread(make_pixel_trainer: Make) -> None:
    trainer = make_pixel_trainer(OWN)
    before = statistics_of(trainer)
    fit(trainer, trainer.rows.train.examples[:1], steps=2)
    assert all(torch.equal(tensor, before[name]) for name, tensor in statistics_of(trainer).items())
    fit(trainer, trainer.rows.train.examples[:2], steps=2)
    assert not torch.equal(statistics_of(trainer)[f"{FIRST}.running_mean"], before[f"{FIRST}.running_mean"])


def test_statistics_that_are_not_finite_are_divergence(make_pixel_trainer: Make) -> None:
    trainer = make_pixel_trainer(OWN)
    with torch.no_grad():
        trainer.bench.model.get_submodule(FIRST).running_var.fill_(torch.inf)  # type: ignore[operator,union-attr] # a buffer
    with pytest.raises(RefusedError, match="TRAINING_DIVERGED"):
        fit(trainer, trainer.rows.train.examples, steps=1)


def two_rounds(trainer: Trainer, ask: Ask, *, again: Callable[[], Trainer] | None = None) -> tuple[str, AdapterState]:
    """Return the digest of round 2's update, and the private tensors after it; `again` makes the site after a crash."""
    first = reply_of(trainer.answer(ask(trainer.bundle)))
    shared = {n: trainer.bundle.initial[n] + first.update[n] for n in trainer.schema.shared.names}
    site = trainer if again is None else again()
    second = reply_of(site.answer(ask(site.bundle, round=2, shared=shared)))
    assert not np.array_equal(first.update["head.bias"], second.update["head.bias"])
    return digest_state(second.update), private_of(site, 2)


def test_a_restarted_site_goes_on_from_its_own_statistics(make_pixel_trainer: Make, ask: Ask) -> None:
    whole = two_rounds(make_pixel_trainer(OWN, home="whole"), ask)
    home = make_pixel_trainer(OWN, home="cut")
    cut = two_rounds(home, ask, again=lambda: make_pixel_trainer(OWN, home="cut"))
    assert whole[0] == cut[0]
    assert digest_state(whole[1]) == digest_state(cut[1])
    seen = f"{FIRST}.num_batches_tracked"
    steps = -(-len(home.rows.train) // home.bundle.study.training.batch_size)
    assert whole[1][seen] - home.bundle.initial[seen] == 2 * steps
    assert digest_state(private_of(home, 1)) not in (digest_state(private_of(home, 0)), digest_state(cut[1]))


def test_a_newcomer_begins_with_the_bundle_s(make_pixel_trainer: Make, ask: Ask) -> None:
    """Its first round is the third: statistics and norms are the base model's, counted from there."""
    old, new = make_pixel_trainer(OWN, home="old"), make_pixel_trainer(OWN, home="new")
    two_rounds(old, ask)
    request = ask(new.bundle, round=3)
    reply = reply_of(new.answer(request))
    new.bench.write(new.bundle.initial)
    expected = score(new.bench, new.rows.validation.examples, execution=Execution())
    labels, patients = new.rows.validation.labels, new.rows.validation.patients
    assert reply.evaluations["validation"].summary is not None
    summary = new.bench.task.measure.summary(expected, labels, patients)
    assert np.array_equal(reply.evaluations["validation"].summary.counts, summary.counts)  # type: ignore[attr-defined]
    assert digest_state(reply.update) != digest_state(reply_of(old.answer(request)).update)


def test_sites_on_one_workbench_do_not_see_each_other_s(make_pixel_trainer: Make, ask: Ask) -> None:
    east, west = make_pixel_trainer(OWN, site="east", home="e"), make_pixel_trainer(OWN, site="west", home="w")
    west_on_east = replace(west, bench=east.bench)
    request = ask(east.bundle)
    east.answer(request)
    together = reply_of(west_on_east.answer(request))
    alone = make_pixel_trainer(OWN, site="west", home="alone")
    assert digest_state(together.update) == digest_state(reply_of(alone.answer(request)).update)
    assert digest_state(private_of(west_on_east, 1)) == digest_state(private_of(alone, 1))
    assert digest_state(private_of(east, 1)) != digest_state(private_of(alone, 1))
