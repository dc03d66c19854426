import csv
import hashlib
import tomllib
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from transformers import AutoModel, AutoTokenizer

import simulations
from client.data.table import Table
from common.errors import DataError
from common.study import Study
from simulations.quick import resolve, rows, vocabulary, write_model
from simulations.sites import divide

STUDY = Path(simulations.__file__).parent / "studies" / "quick.toml"


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_the_model_is_the_same_bytes_whatever_was_drawn_before(tmp_path: Path) -> None:
    torch.manual_seed(1)
    write_model(tmp_path / "a")
    after_first = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(after_first, torch.rand(1))  # the global generator is left as it was
    write_model(tmp_path / "b")
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} == set(
        digests(tmp_path / "a")
    )


def test_the_model_loads_and_knows_the_words_of_the_notes(tmp_path: Path) -> None:
    write_model(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    model = AutoModel.from_pretrained(tmp_path, local_files_only=True, use_safetensors=True)
    texts = [f"age {row['age']} {row['note']}" for row in rows()]
    encoded = tokenizer(texts, padding=True, return_tensors="pt")
    assert tokenizer.unk_token_id not in encoded["input_ids"]
    assert encoded["input_ids"].shape[1] <= 48
    assert model.config.vocab_size == len(vocabulary()) == len(set(vocabulary()))
    assert torch.isfinite(model.eval()(**encoded).last_hidden_state).all()


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
    data = Table().read(resolve("builtin:quick", tmp_path), section=study.data, task=study.task)
    assert study.simulation is not None
    sites = divide(data, study.simulation, seed=0)
    rest = [text for name in ("east", "north") for text in sites[name].texts]
    labels = np.concatenate([sites[name].labels for name in ("east", "north")])
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(rest, labels)
    auroc = roc_auc_score(sites["west"].labels, model.predict_proba(sites["west"].texts)[:, 1])
    assert auroc > 0.9


def test_builtins_resolve_by_name(tmp_path: Path) -> None:
    with resolve("quick", tmp_path).open(newline="") as file:
        assert list(csv.DictReader(file)) == rows()
    assert resolve("builtin:heart", tmp_path).name == "heart.csv"
    assert [path.name for path in tmp_path.iterdir()] == ["quick.csv"]
    with pytest.raises(DataError, match="there are: builtin:heart, builtin:quick"):
        resolve("builtin:lungs", tmp_path)
