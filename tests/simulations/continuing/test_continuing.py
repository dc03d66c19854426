"""Whole further phases: they begin where the last one ended, train on new rows only, and are measured on old ones."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import roc_auc_score

from client.prediction import predict
from common.bundle import read_bundle
from common.errors import StudyError, UserError
from server.events import Event, RoundFinished
from simulations.continuing.continuing import Phase, prepare_phase, run_phase
from simulations.continuing.wish import Wish
from simulations.folder import RunFolder
from simulations.results import Results
from simulations.run import run
from simulations.virtual import resident_sites

FAST = ("training.local_epochs=1", "evaluation.resamples=20", "federation.rounds=2")
TWO = 'federation.sites=["east","north"]'


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Two rounds over two clinics."""
    out = tmp_path_factory.mktemp("first") / "run"
    return run("quick", out=out, overrides=[*FAST, TWO], comparison=False)


def go_on(named: Path, out: Path, wish: Wish | None = None, *, resume: bool = False, stop: bool = False) -> Results:
    def look(event: Event) -> None:
        if stop and isinstance(event, RoundFinished):
            raise KeyboardInterrupt

    phase = Phase(named, wish or Wish())
    return run_phase(
        phase, out, threads=1, device="cpu", comparison=False, resume=resume, progress=look, done=lambda *_: None
    )


@pytest.fixture(scope="module")
def second(first: Results, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The third clinic's rows came later."""
    return go_on(first.folder, tmp_path_factory.mktemp("second") / "run")


def tensors(results: Results) -> dict[str, Any]:
    return load_file(results.adapter / "adapter.safetensors")


def test_a_phase_begins_with_the_adapter_that_the_last_one_kept(first: Results, second: Results) -> None:
    kept, initial = tensors(first), read_bundle(second.folder / "bundle").initial
    assert set(kept) == set(initial)
    for name, array in kept.items():
        np.testing.assert_array_equal(array, initial[name])
    assert any((tensors(second)[name] != kept[name]).any() for name in kept)


def test_only_new_rows_take_part(second: Results) -> None:
    assert list(second.content["study"]["federation"]["sites"]) == ["west"]
    assert {site for r in second.content["rounds"] for site in r["participation"]} == {"west"}


def test_the_same_table_with_more_rows_trains_on_what_is_more(first: Results, tmp_path: Path) -> None:
    """The old table's rows again, in another order, and three visits more: of a new patient, and of an old one."""
    table = table_of(first)
    header, *lines = table.read_text().splitlines()
    old = [line for line in lines if line.startswith("east")][::-1]
    known = old[0].split(",")[1]
    more = [
        f"east,{who},50,reports {what} and pulse normal,yes" for who, what in (("new-1", "fever"), ("new-2", "rash"))
    ]
    visit = f"east,{known},51,reports chills and sleep reduced,yes"
    (tmp_path / "rows.csv").write_text("\n".join([header, *old, *more, visit]) + "\n")
    wish = Wish(rows=tmp_path / "rows.csv", overrides=("evaluation.resamples=0",))
    results = go_on(first.folder, tmp_path / "run", wish)
    sites = resident_sites(str(results.folder))
    assert {site: len(rows) for site, rows in sites.raw.items()} == {"east": 3}
    assert sites.raw["east"].patients == ["new-1", "new-2", known]


def test_no_patient_who_tested_a_phase_trains_the_next(first: Results, tmp_path: Path) -> None:
    tested = {p for part in resident_sites(str(first.folder)).rows.values() for p in part.test.patients}
    results = go_on(first.folder, tmp_path / "run", Wish(replay=True))
    rows = resident_sites(str(results.folder)).rows
    assert sorted(rows) == ["east", "north", "west"]
    assert tested
    assert not tested & {p for part in rows.values() for p in (*part.train.patients, *part.validation.patients)}
    new = results.content["continual"]["new"]["test"]["change"]["sites"]
    assert list(new) == ["west"]  # what is replayed is not new


@pytest.mark.parametrize("split", ["validation", "test"])
def test_what_is_forgotten_is_the_difference_of_what_both_adapters_predict(
    first: Results, second: Results, split: str
) -> None:
    """Both adapters score the old rows as `fedpeft predict` does, and scikit-learn measures."""
    sites = resident_sites(str(first.folder))
    found = second.content["continual"]["old"][split]
    every: dict[str, list[Any]] = {"labels": [], "before": [], "after": []}
    for site, rows in sites.rows.items():
        part = rows.part(split)  # type: ignore[arg-type] # one of the two
        scores = {}
        for name, results in (("before", first), ("after", second)):
            scores[name] = positives(results, part)
            expected = roc_auc_score(part.labels, scores[name])
            assert found[name]["sites"][site]["auroc"]["value"] == pytest.approx(expected, abs=1e-12)
            every[name] += list(scores[name])
        every["labels"] += list(part.labels)
        change = roc_auc_score(part.labels, scores["after"]) - roc_auc_score(part.labels, scores["before"])
        assert found["change"]["sites"][site]["value"] == pytest.approx(change, abs=1e-12)
    pooled = [roc_auc_score(every["labels"], every[name]) for name in ("after", "before")]
    for name, value in zip(("after", "before"), pooled, strict=True):
        assert found[name]["pooled"]["auroc"]["value"] == pytest.approx(value, abs=1e-12)
    assert found["change"]["pooled"]["value"] == pytest.approx(pooled[0] - pooled[1], abs=1e-12)
    assert found["change"]["pooled"]["low"] <= found["change"]["pooled"]["value"] <= found["change"]["pooled"]["high"]


def table_of(results: Results) -> Path:
    return next((results.folder / "generated").glob("*.csv"))


def every_positive(results: Results) -> list[float]:
    """Return the probability of `yes` of every row of the table, as a hospital would have it."""
    base = results.folder / "generated" / "tiny-bert"
    predictions = predict(results.adapter, table_of(results), base_folder=base, private=None, threads=1)
    return [float(row["probability_yes"]) for row in predictions.rows]  # type: ignore[arg-type] # a number


def positives(results: Results, part: Any) -> list[float]:
    """Return those of the rows of one part; the visits of a patient are in the table's order there, too."""
    by_patient: dict[str, list[float]] = {}
    for line, value in zip(table_of(results).read_text().splitlines()[1:], every_positive(results), strict=True):
        by_patient.setdefault(line.split(",")[1], []).append(value)
    return [by_patient[patient].pop(0) for patient in part.patients]


def test_a_phase_that_was_stopped_ends_as_one_that_was_not(first: Results, second: Results, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        go_on(first.folder, tmp_path / "run", stop=True)
    resumed = go_on(first.folder, tmp_path / "run", resume=True)
    for name, array in tensors(second).items():
        np.testing.assert_array_equal(array, tensors(resumed)[name])
    assert resumed.content["continual"] == second.content["continual"]


def test_a_third_phase_remembers_the_first(first: Results, second: Results, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"all 135 rows were there in an earlier phase; .*--replay"):
        go_on(second.folder, tmp_path / "none")
    third = go_on(second.folder, tmp_path / "run", Wish(replay=True))
    continual = third.content["continual"]
    assert [list(s["federation"]["sites"]) for s in continual["earlier"]["studies"]] == [["east", "north"], ["west"]]
    assert list(continual["old"]["validation"]["change"]["sites"]) == ["east", "north", "west"]
    assert continual["new"]["validation"]["change"]["sites"] == {}
    assert continual["earlier"]["digests"]["adapter"] == second.content["digests"]["adapter"]


@pytest.mark.parametrize("kind", ["ewc", "distillation"])
def test_what_holds_on_to_the_old_adapter_stays_nearer_to_it(
    kind: str, first: Results, second: Results, tmp_path: Path
) -> None:
    """Nearer in what it says of all rows of the table."""
    held = go_on(first.folder, tmp_path / "run", Wish(regulariser={"kind": kind, "weight": 1000.0}))
    said = {name: np.array(every_positive(r)) for name, r in (("old", first), ("held", held), ("free", second))}
    distance = {name: float(np.abs(said[name] - said["old"]).mean()) for name in ("held", "free")}
    assert distance["held"] < 0.7 * distance["free"]
    assert held.content["command"][-2:] == [{"ewc": "--ewc", "distillation": "--distill"}[kind], "1000.0"]


def test_a_site_goes_on_with_its_own_private_tensors(tmp_path: Path) -> None:
    own = ["peft.private=['head.*']", *FAST]
    first = run("quick", out=tmp_path / "one", overrides=own, comparison=False)
    heads = {p.parent.name: load_file(p) for p in (first.folder / "sites").glob("*/private.safetensors")}
    wish = Wish(replay=True, overrides=("training.learning_rate=1e-30",))
    second = go_on(first.folder, tmp_path / "two", wish)
    after = {p.parent.name: load_file(p) for p in (second.folder / "sites").glob("*/private.safetensors")}
    assert len({h["head.bias"].tobytes() for h in heads.values()}) == 3
    for site, head in heads.items():
        for name, array in head.items():
            np.testing.assert_allclose(after[site][name], array, atol=1e-7)
    change = second.content["continual"]["old"]["test"]["change"]
    assert change["pooled"]["value"] is None
    assert all(abs(each["value"]) < 1e-12 for each in change["sites"].values())


KEPT = {
    "peft.rank=3": "keeps peft",
    "evaluation.split_seed=5": r"keeps evaluation\.split_seed",
    "evaluation.test_fraction=0.1": r"keeps evaluation\.test_fraction",
    "task.max_length=64": "keeps task",
}


@pytest.mark.parametrize("override", KEPT)
def test_no_phase_changes_who_tests_or_what_the_adapter_fits(first: Results, override: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=KEPT[override]):
        go_on(first.folder, tmp_path / "run", Wish(overrides=(override,)))
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_gone_on_from_is_said(first: Results, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no results\.json of a finished run"):
        go_on(shutil.copytree(first.adapter, tmp_path / "alone"), tmp_path / "out")
    carried = run("quick", out=tmp_path / "fedex", overrides=[*FAST, "aggregation.name='fedex-lora'"], comparison=False)
    with pytest.raises(StudyError, match=r"fedex-lora\) carries a change .* flexlora"):
        go_on(carried.folder, tmp_path / "out")


def test_old_rows_that_are_gone_leave_a_reason_and_a_run(first: Results, tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text(table_of(first).read_text())
    overrides = [*FAST, TWO, f"simulation.data={table}"]
    one = run("quick", out=tmp_path / "one", overrides=overrides, comparison=False)
    table.rename(tmp_path / "later.csv")
    two = go_on(one.folder, tmp_path / "two", Wish(rows=tmp_path / "later.csv"))
    assert two.content["continual"]["old"] is None
    assert "rows.csv" in two.content["continual"]["reason"]
    assert "Forgetting was not measured" in (two.folder / "report.html").read_text()


def test_a_bundle_for_real_sites_begins_with_the_kept_adapter(first: Results, tmp_path: Path) -> None:
    made = prepare_phase(Phase(first.folder, Wish(), rounds=1), tmp_path / "bundle")
    for name, array in tensors(first).items():
        np.testing.assert_array_equal(made.initial[name], array)
    assert made.study.federation.sites == ("east", "north")
    assert made.study.digest != read_bundle(first.folder / "bundle").study.digest  # another number of rounds


def test_the_report_says_what_was_gained_and_forgotten(second: Results) -> None:
    text = (second.folder / "report.html").read_text()
    assert "Further phase" in text
    assert "Forgetting, on validation rows of the phases before" in text
    assert json.loads((second.folder / "results.json").read_text())["continual"]["reason"] is None
    assert RunFolder(second.folder).earlier.is_dir()
