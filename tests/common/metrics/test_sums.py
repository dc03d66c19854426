"""Metrics of sums against plain numpy; intervals over sites against a bootstrap of patients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import SchemaError
from common.metrics.measure import MetricInfo
from common.metrics.sums import RowSums, SumMeasure, SumMetric, gradient, pooled_metric, ratio

INFOS = {
    "perplexity": MetricInfo("perplexity", "Perplexity", "Words that compete.", False, low=1.0, high=np.inf),
    "accuracy": MetricInfo("accuracy", "Accuracy", "Share of tokens."),
    "loss": MetricInfo("loss", "Loss", "Mean over rows.", False, high=np.inf),
}
MEASURE = SumMeasure(
    columns=("rows", "tokens", "nll", "hits"),
    metrics=(
        SumMetric(INFOS["perplexity"], lambda sums: np.exp(ratio(2, 1)(sums)), undefined="no tokens"),
        SumMetric(INFOS["accuracy"], ratio(3, 1), undefined="no tokens"),
        SumMetric(INFOS["loss"], ratio(2, 0), row_mean=True),
    ),
    choosing=("perplexity",),
    tuning="loss",
)
NO_LABELS = np.empty(0)


def draw(seed: int, rows: int, patients: int) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, 9, rows)
    of = [f"p{index}" for index in rng.integers(0, patients, rows)]
    own = dict.fromkeys(of, 0.0) | {name: rng.exponential() for name in of}  # rows of a patient are alike
    nll = tokens * np.array([own[name] for name in of])
    return np.stack([np.ones(rows), tokens, nll, rng.binomial(tokens, 0.6)], axis=1).astype(float), of


def site(seed: int, rows: int = 30, patients: int = 12):
    scores, of = draw(seed, rows, patients)
    found = MEASURE.evaluate(scores, NO_LABELS, of, resamples=200, rng=np.random.default_rng(0))
    return scores, of, (found, MEASURE.summary(scores, NO_LABELS, of))


@given(st.integers(0, 50), st.integers(1, 40), st.integers(1, 10))
def test_metrics_are_functions_of_column_sums(seed: int, rows: int, patients: int) -> None:
    scores, of = draw(seed, rows, patients)
    found = MEASURE.evaluate(scores, NO_LABELS, of, resamples=0, rng=np.random.default_rng(0)).metrics
    _, tokens, nll, hits = scores.sum(axis=0)
    assert found["perplexity"].value == pytest.approx(np.exp(nll / tokens))
    assert found["accuracy"].value == pytest.approx(hits / tokens)
    assert found["loss"].value == pytest.approx(nll / rows)


def test_sites_pool_to_what_all_rows_give_and_the_order_is_no_matter() -> None:
    sites = {name: site(seed) for seed, name in enumerate("abc")}
    together = np.concatenate([scores for scores, _, _ in sites.values()])
    whole = MEASURE.evaluate(together, NO_LABELS, ["p"] * len(together), resamples=0, rng=np.random.default_rng(0))
    released = {name: found for name, (_, _, found) in sites.items()}
    rng = np.random.default_rng(0)
    pooled = MEASURE.pool(released, resamples=100, rng=rng)
    assert {n: m.value for n, m in pooled.items()} == {n: pytest.approx(m.value) for n, m in whole.metrics.items()}
    assert MEASURE.pool(dict(reversed(released.items())), resamples=100, rng=rng) == pooled


@pytest.mark.parametrize("name", ["perplexity", "accuracy", "loss"])
def test_the_interval_over_sites_is_that_of_a_bootstrap_of_patients(name: str) -> None:
    """Patients are drawn within sites, all their rows together; the two agree where there are many."""
    sites = [draw(seed, 900, 300) for seed in range(3)]
    summaries = [MEASURE.summary(scores, NO_LABELS, of) for scores, of in sites]
    metric = next(m for m in MEASURE.metrics if m.info.name == name)
    found = pooled_metric(metric, [s for s in summaries if s is not None], interval=True)
    rng, values = np.random.default_rng(1), []
    sums = [np.array([s[np.array(of) == p].sum(axis=0) for p in sorted(set(of))]) for s, of in sites]
    for _ in range(2000):
        values.append(metric.of(sum(s[rng.integers(0, len(s), len(s))].sum(axis=0) for s in sums)))
    low, high = np.quantile(values, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.12 * (high - low))
    assert found.high == pytest.approx(high, abs=0.12 * (high - low))


def test_without_sums_only_means_over_rows_are_known() -> None:
    released = {name: (site(seed)[2][0], None) for seed, name in enumerate("ab")}
    pooled = MEASURE.pool(released, resamples=0, rng=np.random.default_rng(0))
    assert (pooled["perplexity"].value, pooled["perplexity"].reason) == (None, "no sums of rows")
    whole = np.concatenate([site(0)[0], site(1)[0]]).sum(axis=0)
    assert pooled["loss"].value == pytest.approx(whole[2] / whole[0])


def test_what_is_undefined_says_why() -> None:
    empty = np.array([[1.0, 0.0, 0.0, 0.0]] * 3)
    found = MEASURE.evaluate(empty, NO_LABELS, list("abc"), resamples=5, rng=np.random.default_rng(0)).metrics
    assert (found["accuracy"].value, found["accuracy"].reason) == (None, "no tokens")
    none = MEASURE.pool({}, resamples=0, rng=np.random.default_rng(0))
    assert {(m.value, m.reason) for m in none.values()} == {(None, "no rows")}
    diverged = MEASURE.evaluate(empty * np.nan, NO_LABELS, list("abc"), resamples=0, rng=np.random.default_rng(0))
    assert diverged.metrics["loss"].reason == "the model's outputs are not finite"
    one = RowSums(2, 1, np.ones(4), np.ones((4, 4)))
    assert "one patient" in str(pooled_metric(MEASURE.metrics[1], [one], interval=True).reason)


def test_the_difference_is_paired_on_patients() -> None:
    scores, of = draw(3, 200, 60)
    better = scores * [1, 1, 0.9, 1]
    found = MEASURE.difference(better, scores, NO_LABELS, of, resamples=300, rng=np.random.default_rng(0))
    alone = MEASURE.evaluate(scores, NO_LABELS, of, resamples=300, rng=np.random.default_rng(0)).metrics["perplexity"]
    sums = scores.sum(axis=0)
    assert found.value == pytest.approx(np.exp(0.9 * sums[2] / sums[1]) - np.exp(sums[2] / sums[1]))
    assert found.low is not None
    assert found.high is not None
    assert alone.low is not None
    assert alone.high is not None
    assert found.high - found.low < (alone.high - alone.low) / 2


def summary_of(scores: np.ndarray, of: list[str]) -> RowSums:
    found = MEASURE.summary(scores, NO_LABELS, of)
    assert found is not None
    return found


@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 10))
def test_what_rows_have_can_be_read(seed: int, rows: int, patients: int) -> None:
    summary = summary_of(*draw(seed, rows, patients))
    assert MEASURE.read_summary(summary.to_json()).to_json() == summary.to_json()


@pytest.mark.parametrize("column", range(4))
def test_sums_that_no_rows_have_are_refused(column: int) -> None:
    """They would make the pooled metric better than that of any model, or its interval as narrow as one likes."""
    summary = summary_of(*draw(0, 60, 20))
    products, sums = summary.products.tolist(), summary.sums.tolist()
    hostile: list[dict[str, object]] = [
        {"sums": [-each if i == column else each for i, each in enumerate(sums)]},
        {"sums": [100 * each if i == column else each for i, each in enumerate(sums)]},
        {"products": [[0.0 if column in (i, j) else p for j, p in enumerate(row)] for i, row in enumerate(products)]},
        {"products": [[-p if i == j == column else p for j, p in enumerate(row)] for i, row in enumerate(products)]},
        {"products": [[p + 1e6 * (i == column) for p in row] for i, row in enumerate(products)]},
        {"products": [[1e-300 if i == j == column else 1e300 for j in range(4)] for i in range(4)]},
        {"products": np.outer(summary.sums, summary.sums).tolist(), "patients": 1, "sums": [2 * each for each in sums]},
    ]
    for change in hostile:
        with pytest.raises(SchemaError):
            MEASURE.read_summary({**summary.to_json(), **change})


def test_more_hits_than_tokens_are_refused() -> None:
    scores, of = draw(0, 60, 20)
    scores[:, 3] = scores[:, 1] + 1
    with pytest.raises(SchemaError, match="accuracy that is beyond its bounds"):
        MEASURE.read_summary(summary_of(scores, of).to_json())


def test_a_pooled_value_beyond_its_bounds_is_none() -> None:
    found = pooled_metric(MEASURE.metrics[1], [RowSums(4, 4, np.array([4.0, 2.0, 1.0, 3.0]), np.eye(4))], interval=True)
    assert (found.value, found.reason) == (None, "the sites' sums do not fit together")


@pytest.mark.parametrize(
    "change",
    [
        {"n": True},
        {"n": 0},
        {"patients": 0},
        {"patients": 9},
        {"n": 1.5},
        {"sums": [1.0, 2.0]},
        {"sums": [1.0, 2.0, None, 4.0]},
        {"sums": [1.0, 2.0, float("nan"), 4.0]},
        {"sums": [1e301, 2.0, 1.0, 4.0]},
        {"sums": "many"},
        {"products": [[1.0] * 4] * 3},
        {"more": 1},
    ],
)
def test_sums_of_another_machine_are_checked(change: dict[str, object]) -> None:
    scores, of = draw(0, 4, 2)
    good = summary_of(scores, of).to_json()
    assert MEASURE.read_summary(good).to_json() == good
    with pytest.raises(SchemaError):
        MEASURE.read_summary({**good, **change})


@given(st.lists(st.floats(0.5, 1e6), min_size=4, max_size=4))
def test_gradients_are_those_of_the_formula(sums: list[float]) -> None:
    found = gradient(MEASURE.metrics[1].of, np.array(sums))
    np.testing.assert_allclose(found, [0, -sums[3] / sums[1] ** 2, 0, 1 / sums[1]], rtol=1e-4, atol=1e-9)
