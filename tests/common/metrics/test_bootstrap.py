import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.metrics.bootstrap import interval, patient_weights, with_interval
from common.metrics.classification import weighted_mean


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=30), st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_patients_are_drawn_whole(patients: list[str], resamples: int) -> None:
    weights = np.concatenate(list(patient_weights(patients, resamples=resamples, rng=np.random.default_rng(0))))
    assert weights.shape == (resamples, len(patients))
    distinct = sorted(set(patients))
    first = [patients.index(patient) for patient in distinct]
    for patient, row in zip(distinct, first, strict=True):
        rows = [i for i, other in enumerate(patients) if other == patient]
        assert (weights[:, rows] == weights[:, [row]]).all()
    assert (weights[:, first].sum(axis=1) == len(distinct)).all()


def test_large_sites_come_in_chunks_that_hold_all_resamples() -> None:
    patients = [str(i) for i in range(3000)]
    chunks = list(patient_weights(patients, resamples=200, rng=np.random.default_rng(0)))
    assert len(chunks) > 1
    assert sum(len(chunk) for chunk in chunks) == 200


def test_the_interval_of_a_mean_covers_it() -> None:
    # 200 samples of 60 patients; a percentile bootstrap of a mean covers about 94 %, standard error 1.7 %.
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        statistic = weighted_mean(rng.normal(size=60))
        found = with_interval({"m": statistic}, [str(i) for i in range(60)], resamples=400, rng=rng)["m"]
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0 <= found.high
    assert 0.89 <= covered / 200 <= 0.98


def test_rows_of_one_patient_widen_the_interval() -> None:
    # 30 patients with 10 equal rows each know as much as 30 rows: sqrt(10) wider than 300 independent rows.
    values = np.repeat(np.random.default_rng(0).normal(size=30), 10)
    widths = []
    for patients in ([str(i // 10) for i in range(300)], [str(i) for i in range(300)]):
        rng = np.random.default_rng(1)
        found = with_interval({"m": weighted_mean(values)}, patients, resamples=2000, rng=rng)["m"]
        assert found.low is not None
        assert found.high is not None
        widths.append(found.high - found.low)
    assert widths[0] / widths[1] == pytest.approx(np.sqrt(10), rel=0.1)


def test_no_interval_says_why() -> None:
    options = {"rows": 8, "unit": "patient"}
    assert interval(0.5, np.empty(0), units=8, **options).reason is None
    assert interval(0.5, np.full(9, 0.5), units=1, **options).reason == "one patient only: no interval"
    rare = np.array([0.4, np.nan, np.nan])
    assert interval(0.5, rare, units=8, **options).reason == "defined in 1 of 3 resamples: no interval"
    assert interval(0.5, rare[:2], units=8, **options).low == 0.4
