"""Whole searches over the generated rows: the same again, killed and resumed, in several processes."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from client.split import patient_fraction
from client.table_files import read_raw
from common.errors import CheckpointError, StudyError
from common.study import Study
from simulations.builtin_rows import quick
from simulations.catalogue import load
from simulations.tune.facts import Facts
from simulations.tune.optimiser import ask, open_search
from simulations.tune.searching import Effort, Search, facts_of, search
from simulations.tune.space import Choices, Parameter, Range
from simulations.tune.trials import Trial

RATE = Range("training.learning_rate", 1e-3, 0.1, log=True)
RANK = Choices("peft.rank", (2, 4))
ONE = ("federation.sites=['east']", "federation.rounds=1", "training.local_epochs=1")
SHORT = (*ONE[:1], "federation.rounds=2", "training.local_epochs=1")


def facts(study: Study, space: Sequence[Parameter] = (RATE, RANK), *, prune: bool = False, seed: int = 0) -> Facts:
    return facts_of(study, space, seed=seed, objective=None, prune=prune, threads=1)


def silent(*_: object) -> None:
    """Hear of a trial and say nothing."""


def sequence(found: Search) -> list[tuple[object, ...]]:
    kept = [each for each in found.trials if each.state != "killed"]
    return [(each.place, each.state, each.value, each.parameters, each.values, each.digest) for each in kept]


@pytest.fixture(scope="module")
def whole(make_study: Callable[..., Study], tmp_path_factory: pytest.TempPathFactory) -> tuple[Search, Path]:
    """A search of three trials that nobody disturbed: do not change it."""
    out = tmp_path_factory.mktemp("tune") / "out"
    return search(facts(make_study(*SHORT)), out, Effort(3), resume=False, told=silent), out


def test_the_trials_are_kept_with_all_that_makes_them(whole: tuple[Search, Path]) -> None:
    found, out = whole
    with (out / "trials.csv").open() as file:
        table = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]
    assert [int(row["trial"]) for row in table] == [line["place"] for line in lines] == [1, 2, 3]
    for row, line, trial in zip(table, lines, found.trials, strict=True):
        assert float(row["auroc"]) == line["value"] == trial.value == line["values"]["2"] == float(row["round_2"])
        assert float(row["training.learning_rate"]) == line["parameters"]["training.learning_rate"]
        assert row["digest"] == line["digest"]
        assert (row["seed"], row["state"], int(row["looks"])) == ("0", "complete", 3)
    assert not list(out.glob(".part-*"))


def test_the_best_study_is_the_best_trial_s(whole: tuple[Search, Path]) -> None:
    found, out = whole
    best, study = found.best, load(str(out / "best.toml"))
    assert best is not None
    assert best.value == max(each.value for each in found.trials if each.value is not None)
    assert study.digest == best.digest
    assert study.training.learning_rate == best.parameters["training.learning_rate"]
    assert study.evaluation.resamples == 20  # the study's own, which trials do without


def test_a_search_that_is_interrupted_goes_on_as_if_it_had_not_been(
    whole: tuple[Search, Path], make_study: Callable[..., Study], tmp_path: Path
) -> None:
    known = facts(make_study(*SHORT))

    def stop(trial: Trial, best: Trial | None, of: int) -> None:
        if trial.place == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(known, tmp_path / "out", Effort(3), resume=False, told=stop)
    ask(open_search(tmp_path / "out", known), known, 3, shared=False)  # as a killed process leaves its trial
    (tmp_path / "out" / ".part-left").mkdir()
    found = search(known, tmp_path / "out", Effort(3), resume=True, told=silent)
    assert sequence(found) == sequence(whole[0])
    assert [each.place for each in found.trials if each.state == "killed"] == [3]
    assert not list((tmp_path / "out").glob(".part-*"))


def test_a_search_that_is_whole_plays_nothing_and_one_more_trial_plays_one(
    make_study: Callable[..., Study], tmp_path: Path
) -> None:
    known, told = facts(make_study(*ONE)), []

    def hear(trial: Trial, best: Trial | None, of: int) -> None:
        told.append(trial.place)

    for number in (1, 1, 2):
        search(known, tmp_path / "out", Effort(number), resume=bool(told), told=hear)
    assert told == [1, 2]
    search(known, tmp_path / "out", Effort(9, timeout_s=0.0), resume=True, told=hear)
    assert told == [1, 2]


def test_what_does_not_go_together_is_a_failed_trial_and_the_search_goes_on(
    make_study: Callable[..., Study], tmp_path: Path
) -> None:
    study = make_study(*ONE, "peft={method='lora'}")
    space = [Choices("peft.method", ("lora", "bitfit")), Choices("peft.rank", (2, 4))]
    found = search(facts(study, space), tmp_path / "out", Effort(4), resume=False, told=silent)
    states = {each.parameters["peft.method"]: (each.state, each.reason) for each in found.trials}
    assert states["lora"] == ("complete", None)
    state, reason = states["bitfit"]
    assert (state, "'bitfit' has no option 'rank'" in str(reason)) == ("failed", True)


def test_a_trial_that_diverges_is_told_so(make_study: Callable[..., Study], tmp_path: Path) -> None:
    study = make_study(*ONE, "training.clip_norm=1e30")
    found = search(
        facts(study, [Choices("training.learning_rate", (1e36, 1e37))]),
        tmp_path / "out",
        Effort(1),
        resume=False,
        told=silent,
    )
    assert [each.state for each in found.trials] == ["diverged"]
    assert found.best is None
    assert not (tmp_path / "out" / "best.toml").exists()


def test_a_bad_trial_is_pruned_against_the_ones_before(make_study: Callable[..., Study], tmp_path: Path) -> None:
    study = make_study(*ONE, "federation.rounds=3")
    space = [Choices("training.learning_rate", (0.02, 0.021, 1e-7))]
    found = search(facts(study, space, prune=True), tmp_path / "out", Effort(7), resume=False, told=silent)
    pruned = [each for each in found.trials if each.state == "pruned"]
    assert pruned
    assert all(max(each.values) < 3 and each.value is None and "median" in str(each.reason) for each in pruned)
    assert found.best is not None
    assert found.best.parameters["training.learning_rate"] > 0.01


def test_test_rows_have_no_say(tmp_path: Path) -> None:
    """With the labels of all test patients turned round, every trial has the values that it had."""
    quick.write(tmp_path)
    (path,) = tmp_path.glob("*.csv")
    raw = read_raw(path)
    turned = {name: list(column) for name, column in raw.items()}
    is_test = [patient_fraction(patient, split_seed=0) < 0.25 for patient in raw["patient"]]
    turned["outcome"] = [
        {"yes": "no", "no": "yes"}[label] if test else label
        for label, test in zip(raw["outcome"], is_test, strict=True)
    ]
    with (tmp_path / "turned.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(turned)
        writer.writerows(zip(*turned.values(), strict=True))
    found = []
    for name in (path.name, "turned.csv"):
        study = load("quick", overrides=[f"simulation.data={tmp_path / name}", *SHORT])
        found.append(search(facts(study), tmp_path / f"out-{name}", Effort(1), resume=False, told=silent))
    assert any(is_test)
    assert [each.values for each in found[0].trials] == [each.values for each in found[1].trials]


def test_another_search_in_the_same_folder_is_refused(
    whole: tuple[Search, Path], make_study: Callable[..., Study]
) -> None:
    known, out = facts(make_study(*SHORT)), whole[1]
    with pytest.raises(CheckpointError, match="go on with --resume"):
        search(known, out, Effort(3), resume=False, told=silent)
    with pytest.raises(CheckpointError, match="another seed;"):
        search(facts(make_study(*SHORT), seed=1), out, Effort(3), resume=True, told=silent)
    with pytest.raises(CheckpointError, match="another space;"):
        search(facts(make_study(*SHORT), [RATE]), out, Effort(3), resume=True, told=silent)


def test_a_folder_with_other_files_is_refused(make_study: Callable[..., Study], tmp_path: Path) -> None:
    (tmp_path / "letter.txt").touch()
    with pytest.raises(StudyError, match="is not empty and holds no search"):
        search(facts(make_study(*SHORT)), tmp_path, Effort(1), resume=False, told=silent)
    with pytest.raises(CheckpointError, match="there is no search in"):
        search(facts(make_study(*SHORT)), tmp_path / "new", Effort(1), resume=True, told=silent)


@pytest.mark.slow
@pytest.mark.processes
def test_two_processes_play_every_place_once(make_study: Callable[..., Study], tmp_path: Path) -> None:
    known = facts(make_study(*ONE))
    found = search(known, tmp_path / "out", Effort(3, processes=2), resume=False, told=silent)
    assert [(each.place, each.state) for each in found.trials] == [(place, "complete") for place in (1, 2, 3)]
