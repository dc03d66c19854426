"""Is joining worth it: the federated model beside every site alone, all rows pooled, and logistic regression.

Every budget sees each training row equally often (personalised: one round's worth more, reported apart), starts from
the same initial adapter, and is scored on the same test rows. Where rounds are counted in steps, a site alone takes as
many steps as in the federation, and central as many as all sites together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from client.data import Rows
from client.site_rows import SplitRows, split_of
from common.metrics.classes import ClassMeasure
from common.metrics.histogram import merge
from common.metrics.mean_over_sites import mean_over_sites
from common.metrics.measure import Measure, gain
from common.metrics.types import Metric, ScoreHistogram, Scores
from common.seeds import generator
from common.state import AdapterState
from common.study import Study
from simulations import logistic
from simulations.jobs import Job, JobResult, Outputs

Matrix = Mapping[str, Outputs]
CENTRAL = "central"


@dataclass(frozen=True)
class Budget:
    """One way to spend the training: metrics by site, their mean over sites, and over all rows pooled.

    Where each site is scored by a model of its own, pooled ranking metrics would compare scores of different models:
    they are null with a reason.
    """

    sites: Mapping[str, Scores]
    mean: Mapping[str, Metric]
    pooled: Mapping[str, Metric]
    histogram: ScoreHistogram | None = None

    def to_json(self) -> dict[str, object]:
        """Return `{"sites", "mean", "pooled"}`."""
        return {
            "sites": {site: metrics_json(scores.metrics) for site, scores in self.sites.items()},
            "mean": metrics_json(self.mean),
            "pooled": metrics_json(self.pooled),
        }


def metrics_json(metrics: Mapping[str, Metric]) -> dict[str, object]:
    """Return metrics by name as JSON-able tables."""
    return {name: metric.to_json() for name, metric in metrics.items()}


@dataclass(frozen=True)
class Scoring:
    """Test rows by site and how they are scored: the task's measure, bootstrap resamples, seed."""

    rows: Mapping[str, SplitRows]
    measure: Measure
    resamples: int
    seed: int

    def budget(self, outputs: Outputs, *, one_model: bool) -> Budget:
        """Return the metrics of these scores (n, width) of every site; `one_model`: one model scored every site."""
        scores = {site: self.scores(site, outputs[site]) for site in sorted(self.rows)}
        summaries = {
            site: self.measure.summary(outputs[site], part.labels, part.patients) for site, part in self.rows.items()
        }
        released = {site: (scores[site], summaries[site]) for site in scores}
        rng = generator(self.seed, purpose="bootstrap pooled")
        pooled = self.measure.pool(released, resamples=self.resamples, rng=rng, one_model=one_model)
        histograms = [summary for summary in summaries.values() if isinstance(summary, ScoreHistogram)]
        return Budget(scores, mean_over_sites(scores), pooled, merge(histograms) if histograms and one_model else None)

    def scores(self, site: str, outputs: NDArray[np.float64]) -> Scores:
        """Return one site's metrics; every budget draws the same resamples of the site's patients."""
        part = self.rows[site]
        rng = generator(self.seed, site=site, purpose="bootstrap test")
        return self.measure.evaluate(outputs, part.labels, part.patients, resamples=self.resamples, rng=rng)

    def benefit(self, site: str, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> Metric:
        """Return by how much `ours` is better than `theirs` on a site's test rows, with its paired interval."""
        part = self.rows[site]
        rng = generator(self.seed, site=site, purpose="bootstrap benefit")
        return gain(self.measure, ours, theirs, part.labels, part.patients, resamples=self.resamples, rng=rng)


def alone_jobs(study: Study, trained: Mapping[str, int], rows: Mapping[str, int]) -> list[Job]:
    """Return the jobs of `central` and `local`; a local model is scored at every site, for the matrix.

    trained: in how many rounds each site's update was accepted. rows: its training rows. A site alone goes over its
    rows as often as it did in the federation, and central over all rows as often as the federation did on average.
    """
    rates, default, sites = study.evaluation.learning_rates, study.training.learning_rate, tuple(sorted(trained))
    mean = round(sum(trained[site] * rows[site] for site in sites) / sum(rows[site] for site in sites))
    central = Job(CENTRAL, sites, sites, rates.central or default, max(1, mean))
    ranks = study.federation.ranks
    local = [
        Job(f"local/{s}", (s,), sites, rates.local or default, max(1, trained[s]), rank=ranks.get(s)) for s in sites
    ]
    return [central, *local]


def personalised_jobs(study: Study, sites: Mapping[str, AdapterState]) -> list[Job]:
    """Return one job per site: one round's worth of epochs more on its own rows, from its own state after the run."""
    rate = study.evaluation.learning_rates.personalised or study.training.learning_rate
    ranks = study.federation.ranks
    return [
        Job(f"personalised/{site}", (site,), (site,), rate, 1, start=state, rank=ranks.get(site))
        for site, state in sites.items()
    ]


def compare(
    scoring: Scoring,
    *,
    federated: Outputs,
    one_model: bool,
    results: Mapping[str, JobResult],
    raw: Mapping[str, Rows],
    study: Study,
) -> tuple[dict[str, object], dict[str, Budget]]:
    """Return the `comparison` of results.json, and the budgets that it was made from.

    one_model: whether the federation shares every tensor at one rank, so that one model scores all sites.
    """
    sites = sorted(scoring.rows)
    local = {site: results[f"local/{site}"].outputs for site in sites}
    budgets = {
        "federated": scoring.budget(federated, one_model=one_model),
        "personalised": scoring.budget(
            {site: results[f"personalised/{site}"].outputs[site] for site in sites}, one_model=False
        ),
        "local": scoring.budget({site: local[site][site] for site in sites}, one_model=False),
        "central": scoring.budget(results[CENTRAL].outputs, one_model=True),
    }
    content: dict[str, object] = {name: budget.to_json() for name, budget in budgets.items()}
    content["local"] = {**budgets["local"].to_json(), "matrix": _matrix(scoring, local)}
    content["benefit"] = {s: scoring.benefit(s, federated[s], local[s][s]).to_json() for s in sites}
    linear = _logistic(scoring, raw, study)
    content["logistic"] = None if linear is None else {name: budget.to_json() for name, budget in linear.items()}
    return content, budgets | {f"logistic/{name}": budget for name, budget in (linear or {}).items()}


def _matrix(scoring: Scoring, local: Matrix) -> dict[str, object]:
    """Return {trained at: {scored at: metrics}} without intervals: who could have used whose model."""
    plain = Scoring(scoring.rows, scoring.measure, 0, scoring.seed)
    return {
        trained: {scored: metrics_json(plain.scores(scored, found[scored]).metrics) for scored in sorted(plain.rows)}
        for trained, found in local.items()
    }


def _logistic(scoring: Scoring, raw: Mapping[str, Rows], study: Study) -> dict[str, Budget] | None:
    """Return central and local logistic regression on the typed columns, or None where there is nothing to fit."""
    if not isinstance(scoring.measure, ClassMeasure):
        return None
    classes = scoring.measure.classes
    parts = {site: (rows, split_of(rows, study)) for site, rows in raw.items()}
    tests = {site: rows.take(part.test) for site, (rows, part) in parts.items()}
    trains = {site: rows.take(part.train) for site, (rows, part) in parts.items()}
    everyone = _stacked(list(trains.values()))
    central = logistic.fit_and_score(everyone, tests, labels=classes)
    alone = {
        site: found[site]
        for site, train in trains.items()
        if (found := logistic.fit_and_score(train, {site: tests[site]}, labels=classes)) is not None
    }
    if central is None:
        return None
    return {
        "central": scoring.budget(central, one_model=True),
        "local": scoring.budget(alone, one_model=False),
    }


def _stacked(parts: Sequence[Rows]) -> Rows:
    def every(values: Callable[[Rows], Sequence[object]]) -> list[object]:
        return [value for part in parts for value in values(part)]

    return Rows(
        inputs=[text for part in parts for text in part.inputs],
        labels=np.concatenate([part.labels for part in parts]),
        patients=[patient for part in parts for patient in part.patients],
        features={name: every(lambda part, name=name: part.features[name]) for name in parts[0].features},  # type: ignore[misc] # mypy cannot type the default
        columns={},
    )
