"""Training outside the federation: as many epochs per row, from the same start, and the best state where it is kept."""

from collections.abc import Callable
from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from client.execution import Execution
from client.recipe import recipe_of
from client.scoring import score
from client.steps import Setting, Step
from client.training import Trained, set_training_mode, train
from common.carried import carried_pair
from common.lora_pairs import pairs_of
from common.seeds import generator, integer_seed
from common.state import Array
from simulations.comparison import CENTRAL, alone_jobs, personalised_jobs
from simulations.jobs import Job, JobResult, run_job, run_jobs
from simulations.virtual import VirtualSites

Open = Callable[..., VirtualSites]
SITES = ("east", "north", "west")
BATCH = 8
CENTRAL_JOB = Job(CENTRAL, SITES, SITES, 0.02, 2)
LOCAL_JOB = Job("local/west", ("west",), SITES, 0.02, 2)


def run(sites: VirtualSites, job: Job) -> JobResult:
    return run_job(str(sites.folder.path), job)


def by_hand(sites: VirtualSites, job: Job, *, epochs: int, after_step: Any = None) -> Trained:
    """Train on the rows of the job's sites, one after the other's, with the streams of the job's name."""
    study, bench = sites.bundle.study, sites.bench
    bench.write(job.start or sites.bundle.initial)
    return train(
        bench,
        [example for site in job.train_on for example in sites.rows[site].train.examples],
        replace(recipe_of(study, round_number=1), rounds=1, epochs=epochs, learning_rate=job.learning_rate),
        active=sites.bundle.schema.names,
        execution=Execution(),
        rng=generator(study.seed, site=job.name, purpose="batches"),
        dropout_seed=integer_seed(study.seed, site=job.name, purpose="dropout"),
        setting=Setting(after_step=after_step),
    )


def scores(sites: VirtualSites, site: str, split: str = "test") -> np.ndarray:
    part = sites.rows[site].test if split == "test" else sites.rows[site].validation
    return score(sites.bench, part.examples, execution=Execution())


@pytest.mark.parametrize("job", [CENTRAL_JOB, LOCAL_JOB], ids=["central", "local"])
def test_a_job_is_plain_training_on_the_sites_rows(job: Job, open_run: Open) -> None:
    sites = open_run()
    found = run(sites, job)
    assert found.trained == by_hand(sites, job, epochs=2)
    assert set(found.outputs) == set(SITES)
    for site in SITES:
        assert (found.outputs[site] == scores(sites, site)).all()


def test_a_schedule_runs_once_over_the_whole_of_a_job(open_run: Open) -> None:
    sites = open_run("training.schedule='cosine'", "training.warmup_fraction=0.25")
    found = run(sites, LOCAL_JOB)
    assert found.trained == by_hand(sites, LOCAL_JOB, epochs=2)
    assert (found.outputs["east"] == scores(sites, "east")).all()


def test_a_job_does_not_depend_on_what_ran_before(open_run: Open) -> None:
    sites = open_run()
    first = run(sites, LOCAL_JOB)
    run(sites, CENTRAL_JOB)
    again = run(sites, LOCAL_JOB)
    assert again.trained == first.trained
    assert all((again.outputs[site] == first.outputs[site]).all() for site in SITES)


def near(one: Trained | None, other: Trained | None) -> bool:
    return one is not None and other is not None and astuple(one) == pytest.approx(astuple(other), rel=1e-5)


@pytest.mark.parametrize("keep", ["last", "best"])
def test_jobs_in_groups_are_those_that_run_alone(keep: str, open_run: Open) -> None:
    sites = open_run(f"evaluation.keep='{keep}'")
    assert sites.engine is not None
    jobs = [CENTRAL_JOB, LOCAL_JOB]
    found = {result.name: result for result in run_jobs(sites, jobs, workers=1)}
    assert set(found) == {job.name for job in jobs}
    for job in jobs:
        alone = run(sites, job)
        assert near(found[job.name].trained, alone.trained)
        for site in SITES:
            np.testing.assert_allclose(found[job.name].outputs[site], alone.outputs[site], atol=1e-5)
    assert list(run_jobs(sites, [], workers=2)) == []


def test_jobs_that_cannot_be_grouped_come_one_by_one_and_are_the_same(open_run: Open) -> None:
    sites = open_run("training.accumulate=2")
    assert sites.engine is None
    found = {result.name: result for result in run_jobs(sites, [CENTRAL_JOB, LOCAL_JOB], workers=1)}
    for job in (CENTRAL_JOB, LOCAL_JOB):
        alone = run(sites, job)
        assert found[job.name].trained == alone.trained
        assert all((found[job.name].outputs[s] == alone.outputs[s]).all() for s in SITES)


def rows_of(sites: VirtualSites, job: Job) -> int:
    return sum(len(sites.rows[site].train) for site in job.train_on)


@pytest.mark.parametrize("epochs", [1, 3])
def test_every_budget_sees_each_row_as_often_as_the_federation(epochs: int, open_run: Open) -> None:
    sites = open_run(f"training.local_epochs={epochs}")
    study, rounds = sites.bundle.study, sites.bundle.study.federation.rounds
    for job in alone_jobs(study, dict.fromkeys(SITES, rounds), dict.fromkeys(SITES, 1)):
        trained = run(sites, job).trained
        assert trained is not None
        # An epoch has each row once, so epochs are steps over the batches of an epoch.
        per_epoch = -(-rows_of(sites, job) // BATCH)
        assert trained.steps == per_epoch * epochs * rounds
    (own, *_) = personalised_jobs(study, dict.fromkeys(SITES, sites.bundle.initial))
    trained = run(sites, own).trained
    assert trained is not None
    assert trained.steps == -(-rows_of(sites, own) // BATCH) * epochs


def test_where_rounds_are_counted_in_steps_so_are_the_rivals(open_run: Open) -> None:
    sites = open_run("training={local_steps=3, batch_size=8, learning_rate=0.02}")
    central, *local = alone_jobs(sites.bundle.study, dict.fromkeys(SITES, 2), dict.fromkeys(SITES, 1))
    steps = {job.name: run(sites, job).trained for job in (central, local[0])}
    # 3 steps a round, 2 rounds, at 3 sites: as many batches as the federation had in all.
    assert {name: trained.steps for name, trained in steps.items() if trained} == {CENTRAL: 18, local[0].name: 6}


def test_a_personalised_job_starts_from_the_state_it_is_given(open_run: Open) -> None:
    sites = open_run()
    start = {name: array + np.float32(0.05) for name, array in sites.bundle.initial.items()}
    (job,) = personalised_jobs(sites.bundle.study, {"east": start})
    found = run(sites, job)
    assert set(found.outputs) == {"east"}
    assert found.trained == by_hand(sites, job, epochs=1)
    assert (found.outputs["east"] == scores(sites, "east")).all()


def test_what_a_job_starts_from_may_carry_and_leaves_nothing_behind(open_run: Open) -> None:
    """Beside the others of its group, and before the group that the same worker trains next."""
    sites = open_run()
    assert sites.engine is not None
    rng, initial = np.random.default_rng(5), sites.bundle.initial
    carried = {
        carried_pair(pair).a: rng.normal(size=(3, initial[pair.a].shape[1])).astype(np.float32)
        for pair in pairs_of(initial)
    } | {
        carried_pair(pair).b: rng.normal(size=(initial[pair.b].shape[0], 3)).astype(np.float32)
        for pair in pairs_of(initial)
    }
    (job,) = personalised_jobs(sites.bundle.study, {"east": {**initial, **carried}})
    plain = run(sites, LOCAL_JOB)
    for jobs in ([job, LOCAL_JOB], [LOCAL_JOB]):
        found = {result.name: result for result in run_jobs(sites, jobs, workers=1)}
        assert near(found[LOCAL_JOB.name].trained, plain.trained)
        if job in jobs:
            alone = run(sites, job)  # which the model of all replicas now carries
            assert near(found[job.name].trained, alone.trained)
            np.testing.assert_allclose(found[job.name].outputs["east"], alone.outputs["east"], atol=1e-5)
            assert np.abs(found[job.name].outputs["east"] - plain.outputs["east"]).max() > 1e-2


def test_validation_rows_are_scored_where_that_is_asked(open_run: Open) -> None:
    sites = open_run()
    found = run(sites, replace(LOCAL_JOB, split="validation"))
    assert {site: len(found.outputs[site]) for site in SITES} == {s: len(sites.rows[s].validation) for s in SITES}
    assert (found.outputs["north"] == scores(sites, "north", "validation")).all()


def test_the_best_state_on_validation_rows_is_restored(open_run: Open) -> None:
    """Training by hand, looked at once a round's worth of steps; AUROC by scikit-learn; the first of equals."""
    sites, job = open_run("evaluation.keep='best'"), replace(CENTRAL_JOB, passes=6, learning_rate=0.2)
    found = run(sites, job)
    labels = np.concatenate([sites.rows[site].validation.labels for site in SITES])
    steps_per_pass = -(-rows_of(sites, job) // BATCH)
    seen: list[tuple[float, dict[str, Array]]] = []

    def look(step: Step) -> None:
        if (step.number + 1) % steps_per_pass == 0:
            probabilities = np.concatenate([scores(sites, site, "validation") for site in SITES])
            seen.append((float(roc_auc_score(labels, probabilities[:, 1])), sites.bench.read()))
            set_training_mode(sites.bench)

    by_hand(sites, job, epochs=6, after_step=look)
    assert len(seen) == 6
    values = [value for value, _ in seen]
    best = values.index(max(values))
    assert best < 5  # the last state is not the best, so restoring it matters
    sites.bench.write(seen[best][1])
    for site in SITES:
        assert (found.outputs[site] == scores(sites, site)).all()


def test_looking_at_validation_rows_changes_no_step(open_run: Open) -> None:
    """Dropout draws and training mode are as if nobody had looked."""
    trained = [run(open_run(*overrides), CENTRAL_JOB).trained for overrides in ((), ("evaluation.keep='best'",))]
    assert trained[0] == trained[1]


def test_a_rival_that_diverges_has_no_probabilities_and_stops_nobody(open_run: Open) -> None:
    sites = open_run()
    wild = replace(CENTRAL_JOB, learning_rate=3e38)
    found = {result.name: result for result in run_jobs(sites, [wild, LOCAL_JOB], workers=1)}
    assert found[CENTRAL].trained is None
    for site in SITES:
        assert found[CENTRAL].outputs[site].shape == (len(sites.rows[site].test), 2)
        assert np.isnan(found[CENTRAL].outputs[site]).all()
        assert np.isfinite(found[LOCAL_JOB.name].outputs[site]).all()
