"""Budgets of made-up probabilities against scikit-learn on the concatenated rows."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score

from client.data import Rows
from client.site_rows import SplitRows, split_of
from common.metrics.classes import ClassMeasure
from common.study import Study
from common.tasks import Example
from simulations import logistic
from simulations.comparison import CENTRAL, Scoring, alone_jobs, compare, personalised_jobs
from simulations.jobs import JobResult

SIZES = {"west": 30, "east": 45, "north": 60}
Table = dict[str, np.ndarray]


def part_of(labels: np.ndarray, site: str) -> SplitRows:
    return SplitRows(
        [Example((1,), int(label)) for label in labels], labels, [f"{site}-{i}" for i in range(len(labels))]
    )


def scoring_of(labels: Table, *, classes: int = 2, resamples: int = 50) -> Scoring:
    return Scoring(
        {site: part_of(found, site) for site, found in labels.items()}, ClassMeasure(classes), resamples, seed=0
    )


def draw(seed: int, labels: Table, classes: int = 2) -> Table:
    """Probabilities that lean towards the labels."""
    rng = np.random.default_rng(seed)
    found = {}
    for site, values in labels.items():
        logits = rng.normal(size=(len(values), classes))
        logits[np.arange(len(values)), values] += 0.8
        shares = np.exp(logits)
        found[site] = shares / shares.sum(axis=1, keepdims=True)
    return found


def labels_of(classes: int = 2) -> Table:
    rng = np.random.default_rng(9)
    return {site: rng.permutation(np.arange(size) % classes) for site, size in SIZES.items()}


LABELS = labels_of()
OURS, THEIRS = draw(1, LABELS), draw(2, LABELS)


def together(table: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([table[site] for site in sorted(table)])


@pytest.mark.parametrize("one_model", [True, False])
def test_sites_and_means_are_scikit_learn_s(one_model: bool) -> None:
    budget = scoring_of(LABELS).budget(OURS, one_model=one_model)
    expected = {site: roc_auc_score(LABELS[site], OURS[site][:, 1]) for site in SIZES}
    assert list(budget.sites) == sorted(SIZES)
    for site, value in expected.items():
        metric = budget.sites[site].metrics["auroc"]
        assert metric.value == pytest.approx(value)
        assert metric.n == SIZES[site]
        assert metric.low is not None
        assert metric.low <= value <= (metric.high or 0)
    assert budget.mean["auroc"].value == pytest.approx(np.mean(list(expected.values())))
    assert budget.mean["auroc"].n == sum(SIZES.values())


@pytest.mark.parametrize("one_model", [True, False])
def test_pooled_row_means_are_scikit_learn_s_on_all_rows(one_model: bool) -> None:
    pooled = scoring_of(LABELS).budget(OURS, one_model=one_model).pooled
    labels, positive = together(LABELS), together(OURS)[:, 1]
    assert pooled["accuracy"].value == pytest.approx(accuracy_score(labels, positive > 0.5))
    assert pooled["brier"].value == pytest.approx(brier_score_loss(labels, positive))
    assert pooled["log_loss"].value == pytest.approx(log_loss(labels, positive))


def test_one_model_s_pooled_auroc_is_scikit_learn_s_within_its_stated_error() -> None:
    metric = scoring_of(LABELS).budget(OURS, one_model=True).pooled["auroc"]
    assert metric.error is not None
    assert metric.value == pytest.approx(roc_auc_score(together(LABELS), together(OURS)[:, 1]), abs=metric.error)
    assert metric.error < 0.01


def test_many_models_have_no_pooled_auroc_and_say_why() -> None:
    budget = scoring_of(LABELS).budget(OURS, one_model=False)
    for name in ("auroc", "auprc", "calibration_error"):
        assert budget.pooled[name].value is None
        assert budget.pooled[name].reason == "each site is scored by its own model: scores are not comparable"
        assert budget.pooled[name].n == sum(SIZES.values())
    assert budget.histogram is None
    one = scoring_of(LABELS).budget(OURS, one_model=True)
    assert one.histogram is not None
    assert one.histogram.n == sum(SIZES.values())


def test_the_benefit_is_the_difference_with_its_paired_interval() -> None:
    scoring = scoring_of(LABELS, resamples=200)
    metric = scoring.benefit("east", OURS["east"], THEIRS["east"])
    values = [roc_auc_score(LABELS["east"], table["east"][:, 1]) for table in (OURS, THEIRS)]
    assert metric.value == pytest.approx(values[0] - values[1])
    assert metric.low is not None
    assert metric.low < metric.value < (metric.high or 0)
    same = scoring.benefit("east", OURS["east"], OURS["east"])
    assert (same.value, same.low, same.high) == (0, 0, 0)
    other = scoring.benefit("east", THEIRS["east"], OURS["east"])
    assert (other.value, other.low, other.high) == pytest.approx((-metric.value, -(metric.high or 0), -metric.low))


def test_every_budget_sees_the_same_resamples_of_a_site_s_patients() -> None:
    """So equal models have equal intervals, and a row is compared with a row."""
    scoring = scoring_of(LABELS)
    one, other = (scoring.budget(OURS, one_model=kind) for kind in (True, False))
    assert one.sites == other.sites


def test_a_diverged_model_has_reasons_in_place_of_figures() -> None:
    nothing = {site: np.full_like(table, np.nan) for site, table in OURS.items()}
    scoring = scoring_of(LABELS)
    budget = scoring.budget(nothing, one_model=True)
    everything = [*budget.pooled.values(), *budget.mean.values()]
    everything += [metric for scores in budget.sites.values() for metric in scores.metrics.values()]
    assert {metric.value for metric in everything} == {None}
    assert all(metric.reason for metric in everything)
    assert scoring.benefit("east", OURS["east"], nothing["east"]).reason == "probabilities are not finite"


def test_a_site_of_one_class_or_without_test_rows_does_not_end_the_comparison() -> None:
    labels = {**LABELS, "west": np.zeros(30, np.int64), "none": np.zeros(0, np.int64)}
    budget = scoring_of(labels).budget(draw(1, labels), one_model=True)
    assert budget.sites["west"].metrics["auroc"].reason == "one class only"
    assert budget.sites["none"].n == 0
    assert budget.mean["auroc"].reason == "mean of 2 of 4 sites"
    assert budget.pooled["auroc"].value is not None
    assert budget.pooled["auroc"].n == sum(SIZES.values())


def test_more_classes_are_pooled_too() -> None:
    labels = labels_of(3)
    probabilities = draw(1, labels, 3)
    pooled = scoring_of(labels, classes=3).budget(probabilities, one_model=True).pooled
    expected = roc_auc_score(together(labels), together(probabilities), multi_class="ovr", average="macro")
    assert pooled["auroc"].error is not None
    assert pooled["auroc"].value == pytest.approx(expected, abs=pooled["auroc"].error)


def test_every_budget_gets_the_same_passes_and_its_own_rate(make_study: Callable[..., Study]) -> None:
    study = make_study("federation.rounds=5", "evaluation.learning_rates={local=0.1, central=0.2}")
    central, *local = alone_jobs(study, {"b": 5, "a": 5}, {"a": 10, "b": 90})
    assert (central.name, central.train_on, central.score_on) == (CENTRAL, ("a", "b"), ("a", "b"))
    assert [(job.name, job.train_on, job.score_on) for job in local] == [
        ("local/a", ("a",), ("a", "b")),
        ("local/b", ("b",), ("a", "b")),
    ]
    assert [job.learning_rate for job in (central, *local)] == [0.2, 0.1, 0.1]
    assert [job.passes for job in (central, *local)] == [5, 5, 5]
    assert all(job.start is None for job in (central, *local))
    state = {"x": np.zeros(1, np.float32)}
    (own,) = personalised_jobs(study, {"a": state})
    assert (own.train_on, own.score_on, own.passes, own.start) == (("a",), ("a",), 1, state)
    assert own.learning_rate == study.training.learning_rate


def test_a_site_that_took_part_in_fewer_rounds_is_compared_with_as_many_epochs_alone(
    make_study: Callable[..., Study],
) -> None:
    central, *local = alone_jobs(
        make_study("federation.rounds=8"), {"a": 2, "b": 6, "c": 0}, {"a": 50, "b": 50, "c": 50}
    )

    assert [job.passes for job in local] == [2, 6, 1]
    assert central.passes == 3  # (2 * 50 + 6 * 50 + 0) / 150 rounded


@pytest.fixture(scope="module")
def tests_of(make_study: Callable[..., Study], site_rows: Mapping[str, Rows]) -> dict[str, Rows]:
    """The test rows of the generated sites, whose age is a typed column."""
    return {site: rows.take(split_of(rows, make_study()).test) for site, rows in site_rows.items()}


def test_the_whole_comparison_is_made_of_its_parts(
    make_study: Callable[..., Study], site_rows: Mapping[str, Rows], tests_of: dict[str, Rows]
) -> None:
    study = make_study()
    labels = {site: rows.labels for site, rows in tests_of.items()}
    scoring = Scoring({site: part_of(labels[site], site) for site in labels}, ClassMeasure(2), 20, seed=0)
    tables = {name: draw(seed, labels) for seed, name in enumerate(["federated", CENTRAL, *sorted(labels), "own"])}
    results = {f"local/{site}": JobResult("", tables[site], None) for site in labels}
    results |= {f"personalised/{site}": JobResult("", {site: tables["own"][site]}, None) for site in labels}
    results[CENTRAL] = JobResult("", tables[CENTRAL], None)
    content, budgets = compare(
        scoring, federated=tables["federated"], one_model=True, results=results, raw=site_rows, study=study
    )
    json.dumps(content, allow_nan=False)
    diagonal = {site: tables[site][site] for site in labels}
    expected = {
        "federated": tables["federated"],
        "personalised": tables["own"],
        "local": diagonal,
        "central": tables[CENTRAL],
    }
    for name, table in expected.items():
        one = name in ("federated", "central")
        assert budgets[name].to_json() == scoring.budget(table, one_model=one).to_json()
        assert {k: content[name][k] for k in ("sites", "mean", "pooled")} == budgets[name].to_json()  # type: ignore[index] # JSON
    plain = replace(scoring, resamples=0)
    matrix = content["local"]["matrix"]  # type: ignore[index] # JSON
    for trained in labels:
        assert matrix[trained] == plain.budget(tables[trained], one_model=True).to_json()["sites"]
    for site in labels:
        assert content["benefit"][site] == scoring.benefit(site, tables["federated"][site], diagonal[site]).to_json()  # type: ignore[index] # JSON


def test_logistic_regression_is_fitted_on_training_rows_and_scored_on_test_rows(
    make_study: Callable[..., Study], site_rows: Mapping[str, Rows], tests_of: dict[str, Rows]
) -> None:
    study = make_study()
    labels = {site: rows.labels for site, rows in tests_of.items()}
    scoring = Scoring({site: part_of(labels[site], site) for site in labels}, ClassMeasure(2), 0, seed=0)
    table = draw(0, labels)
    results = {
        name: JobResult("", table, None)
        for name in [CENTRAL, *(f"{k}/{s}" for k in ("local", "personalised") for s in labels)]
    }
    content, budgets = compare(scoring, federated=table, one_model=True, results=results, raw=site_rows, study=study)
    for site, rows in site_rows.items():
        train = rows.take(split_of(rows, study).train)
        found = logistic.fit_and_score(train, {site: tests_of[site]}, labels=2)
        assert found is not None
        # Not by AUROC: with one column it is the same for every fit of one sign, on whatever rows.
        value = content["logistic"]["local"]["sites"][site]["log_loss"]["value"]  # type: ignore[index] # JSON
        assert value == pytest.approx(log_loss(labels[site], found[site][:, 1]))
    assert content["logistic"]["central"]["pooled"]["auroc"]["value"] is not None  # type: ignore[index] # JSON
    texts = {site: replace(rows, features={}) for site, rows in site_rows.items()}
    for kind in ("central", "local"):
        assert content["logistic"][kind] == budgets[f"logistic/{kind}"].to_json()  # type: ignore[index] # JSON
        assert (budgets[f"logistic/{kind}"].histogram is None) == (kind == "local")
    content, budgets = compare(scoring, federated=table, one_model=True, results=results, raw=texts, study=study)
    assert content["logistic"] is None
    assert not [name for name in budgets if name.startswith("logistic")]


def test_the_seed_of_the_resamples_is_the_study_s() -> None:
    scoring = scoring_of(LABELS)
    other = replace(scoring, seed=1)
    assert scoring.scores("east", OURS["east"]) != other.scores("east", OURS["east"])
    assert scoring.scores("east", OURS["east"]) == scoring.scores("east", OURS["east"])
