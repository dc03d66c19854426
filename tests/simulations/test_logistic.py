from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from client.data import Rows
from simulations.logistic import fit_and_score


def rows(labels: list[int], **features: Sequence[object]) -> Rows:
    n = len(labels)
    return Rows([""] * n, np.array(labels, dtype=np.int64), [str(i) for i in range(n)], features, {})


def table(n: int, seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    age, sex = rng.normal(60, 10, n), rng.integers(0, 2, n)
    labels = (rng.random(n) < 1 / (1 + np.exp(-(age - 60) / 5 - sex))).astype(int)
    ages = [None if rng.random() < 0.2 else float(value) for value in age]
    sexes = [None if rng.random() < 0.1 else ("man" if value else "woman") for value in sex]
    return rows(labels.tolist(), age=ages, sex=sexes)


def design(train: Rows, other: Rows) -> np.ndarray:
    """The features by hand, in plain pandas: median, flag, z-scores with the training rows' moments; three dummies."""

    def numbers(source: Rows) -> pd.DataFrame:
        age = pd.Series(source.features["age"], dtype=float)
        median = pd.Series(train.features["age"], dtype=float).median()
        return pd.DataFrame({"age": age.fillna(median), "flag": age.isna().astype(float)})

    moments = numbers(train)
    scaled = (numbers(other) - moments.mean()) / moments.std(ddof=0)
    sex = pd.Series(other.features["sex"], dtype=object).fillna("absent")
    dummies = [(sex == word).astype(float) for word in ("man", "woman", "absent")]
    return np.column_stack([scaled, *dummies])


def test_probabilities_are_those_of_the_same_design_by_hand() -> None:
    train, test = table(300, 0), table(100, 1)
    result = fit_and_score(train, {"a": test}, labels=2)
    assert result is not None
    reference = LogisticRegression(max_iter=2000).fit(design(train, train), train.labels)
    np.testing.assert_allclose(result["a"], reference.predict_proba(design(train, test)), atol=1e-3)


def test_each_row_is_scored_by_itself() -> None:
    train, test = table(200, 0), table(50, 1)
    whole = fit_and_score(train, {"a": test}, labels=2)
    order = np.random.default_rng(0).permutation(50)
    parts = fit_and_score(train, {"b": test.take(order), "c": test.take(order[:0])}, labels=2)
    assert whole is not None
    assert parts is not None
    np.testing.assert_allclose(parts["b"], whole["a"][order])
    assert parts["c"].shape == (0, 2)


def test_no_features_no_model() -> None:
    assert fit_and_score(rows([0, 1]), {"a": rows([0])}, labels=2) is None


@pytest.mark.parametrize("label", [0, 2])
def test_one_class_gives_constants(label: int) -> None:
    result = fit_and_score(rows([label] * 3, age=[1.0, 2.0, None]), {"a": rows([0, 1], age=[5.0, None])}, labels=3)
    assert result is not None
    assert result["a"].tolist() == [[float(k == label) for k in range(3)]] * 2


def test_classes_that_training_lacks_have_no_probability_and_the_others_keep_their_place() -> None:
    train = rows([0, 0, 2, 2], age=[1.0, 2.0, 8.0, 9.0])
    result = fit_and_score(train, {"a": rows([0, 2], age=[1.0, 9.0])}, labels=3)
    assert result is not None
    assert (result["a"][:, 1] == 0).all()
    assert result["a"].argmax(axis=1).tolist() == [0, 2]
    np.testing.assert_allclose(result["a"].sum(axis=1), 1)


def test_columns_without_a_value_and_unknown_words_are_survived() -> None:
    train = rows([0, 1, 0, 1], chol=[None] * 4, age=[1.0, 5.0, 2.0, 6.0], sex=["man", "woman", "man", "woman"])
    other = rows([0, 1], chol=[200.0, None], age=[3.0, None], sex=["unknown", None])
    result = fit_and_score(train, {"a": other}, labels=2)
    assert result is not None
    assert np.isfinite(result["a"]).all()


def test_features_without_any_value_give_the_base_rate() -> None:
    result = fit_and_score(rows([0, 1, 1, 1], chol=[None] * 4), {"a": rows([0], chol=[1.0])}, labels=2)
    assert result is not None
    np.testing.assert_allclose(result["a"], [[0.25, 0.75]], atol=1e-3)
