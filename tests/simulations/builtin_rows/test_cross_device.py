import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from client.data.table import Table
from simulations.builtin_rows.cross_device import PRACTICES, ROWS, write
from simulations.catalogue import load
from simulations.tiny_models.tiny_bert import vocabulary
from simulations.virtual import check_sites, read_sites


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    with write(tmp_path_factory.mktemp("rows")).open(newline="") as file:
        return list(csv.DictReader(file))


def test_ten_thousand_practices_have_a_few_patients_each(rows: list[dict[str, str]]) -> None:
    sizes = Counter(row["practice"] for row in rows)
    assert len(sizes) == PRACTICES
    assert (min(sizes.values()), max(sizes.values())) == ROWS
    assert len({row["patient"] for row in rows}) == len(rows)


def test_practices_differ_in_their_outcomes(rows: list[dict[str, str]]) -> None:
    """A Beta(2, 2) share p has E Var = E p(1-p) = 0.2 and Var E = 0.05: a fifth of all is between practices."""
    positive: dict[str, list[bool]] = {name: [] for name in {row["practice"] for row in rows}}
    for row in rows:
        positive[row["practice"]].append(row["outcome"] == "yes")
    within = np.mean([np.var(found, ddof=1) for found in positive.values()])
    assert within == pytest.approx(0.2, abs=0.005)


def test_words_tell_the_outcome_and_are_the_model_s(rows: list[dict[str, str]]) -> None:
    notes, labels = [row["note"] for row in rows], [row["outcome"] == "yes" for row in rows]
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(notes[:4000], labels[:4000])
    assert 0.9 < roc_auc_score(labels[4000:8000], model.predict_proba(notes[4000:8000])[:, 1]) < 0.99
    words = {word for note in notes for word in note.replace(",", " ").split()}
    assert words <= set(vocabulary())


def test_the_same_rows_are_written_each_time(tmp_path: Path) -> None:
    one, other = (write(tmp_path / name, 50).read_bytes() for name in ("one", "other"))
    assert one == other


def test_every_practice_of_the_study_has_rows_to_train_on(tmp_path: Path) -> None:
    study = load("cross-device")
    sites = read_sites(study, tmp_path)
    assert len(sites) == PRACTICES
    check_sites(sites, study)
    assert len(Table().read(tmp_path / "cross-device.csv", section=study.data, task=study.task)) == sum(
        map(len, sites.values())
    )
