"""Logistic regression on a table's columns: the row that an honest comparison on tabular data has.

Numbers are standardised, a missing one is the median and is flagged; categories are one-hot, unknown ones ignored.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any  # scikit-learn is untyped

import numpy as np
from numpy.typing import NDArray

from client.data import Rows

if TYPE_CHECKING:
    import pandas as pd

Probabilities = NDArray[np.float64]


def fit_and_score(train: Rows, tests: Mapping[str, Rows], *, labels: int) -> Mapping[str, Probabilities] | None:
    """Fit on `train` and return the probabilities (n, labels) of each site's rows; None where there are no features.

    A label that training rows lack gets probability 0. With one label only, or no value at all, the probabilities
    are the labels' shares among the training rows.
    """
    if not train.features:
        return None
    present = np.unique(train.labels)
    known = {name: v for name, v in train.features.items() if any(value is not None for value in v)}
    if len(present) == 1 or not known:
        return {site: np.tile(_base_rates(train, labels), (len(rows), 1)) for site, rows in tests.items()}
    model = _pipeline(known).fit(_frame(train), train.labels)
    return {site: _in_place(_probabilities(model, rows, len(present)), present, labels) for site, rows in tests.items()}


def _base_rates(train: Rows, labels: int) -> Probabilities:
    return np.bincount(train.labels, minlength=labels) / len(train)


def _probabilities(model: Any, rows: Rows, classes: int) -> Probabilities:
    if not len(rows):  # scikit-learn refuses an empty table
        return np.empty((0, classes))
    result: Probabilities = model.predict_proba(_frame(rows))
    return result


def _in_place(probabilities: Probabilities, present: NDArray[np.int64], labels: int) -> Probabilities:
    """Spread the columns of the labels that the training rows have over all labels."""
    result = np.zeros((len(probabilities), labels))
    result[:, present] = probabilities
    return result


def _is_number(values: Iterable[Any]) -> bool:
    return not any(isinstance(value, str) for value in values)


def _frame(rows: Rows) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame({name: pd.Series(list(values), dtype=object) for name, values in rows.features.items()})


def _pipeline(known: Mapping[str, Sequence[Any]]) -> Any:
    """Return the unfitted model; `known` are the columns with at least one value: others have no median, no words."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    numbers = [name for name, values in known.items() if _is_number(values)]
    categories = [name for name in known if name not in numbers]
    columns = ColumnTransformer([("numbers", _numbers(), numbers), ("categories", _categories(), categories)])
    return make_pipeline(columns, LogisticRegression(max_iter=2000))


def _numbers() -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    as_floats = FunctionTransformer(lambda frame: frame.astype(np.float64))
    return make_pipeline(as_floats, SimpleImputer(strategy="median", add_indicator=True), StandardScaler())


def _categories() -> Any:
    from sklearn.preprocessing import OneHotEncoder

    return OneHotEncoder(handle_unknown="ignore")
