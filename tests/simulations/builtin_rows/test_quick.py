import csv
import tomllib
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

import simulations
from client.data.table import Table
from common.study import Study
from simulations.builtin_rows.quick import rows, write
from simulations.sites import divide

STUDY = Path(simulations.__file__).parent / "studies" / "quick.toml"


def test_rows_are_three_unequal_clinics_with_patients_of_two_rows() -> None:
    table = rows()
    assert table == rows()
    assert Counter(row["site"] for row in table) == {"east": 60, "north": 45, "west": 30}
    visits = Counter(row["patient"] for row in table)
    assert set(visits.values()) == {1, 2}
    ages = defaultdict(set)
    for row in table:
        ages[row["patient"]].add(row["age"])
    assert all(len(found) == 1 for found in ages.values())
    shares = [np.mean([row["outcome"] == "yes" for row in table if row["site"] == site]) for site in ("west", "north")]
    assert shares[1] - shares[0] > 0.2


def test_the_study_reads_its_rows_and_words_tell_the_outcome(tmp_path: Path) -> None:
    study = Study.model_validate(tomllib.loads(STUDY.read_text(encoding="utf-8")))
    data = Table().read(write(tmp_path), section=study.data, task=study.task)
    assert study.simulation is not None
    sites = divide(data, study.simulation, seed=0)
    rest = [text for name in ("east", "north") for text in sites[name].inputs]
    labels = np.concatenate([sites[name].labels for name in ("east", "north")])
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(rest, labels)
    auroc = roc_auc_score(sites["west"].labels, model.predict_proba(sites["west"].inputs)[:, 1])
    assert auroc > 0.9


def test_the_rows_are_written_as_they_are(tmp_path: Path) -> None:
    with write(tmp_path).open(newline="") as file:
        assert list(csv.DictReader(file)) == rows()
    assert [path.name for path in tmp_path.iterdir()] == ["quick.csv"]
