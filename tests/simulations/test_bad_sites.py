"""Bad sites in whole runs of the generated notes, dealt to seven sites."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from client.site_rows import split_of
from common.errors import StudyError
from common.metrics.measure import Labels
from common.state import AdapterState, norm, subtract
from common.study import Study
from simulations.bad_sites import attacks_of, poisoned
from simulations.catalogue import load
from simulations.results import Results
from simulations.run import run
from simulations.virtual import read_sites

SEVEN = "simulation={data='builtin:quick', partition={name='iid', sites=7}%s}"
FAST = ("training.local_epochs=2", "evaluation.resamples=0", "federation.rounds=2")


def attacking(name: str, *sites: str, **options: float) -> str:
    more = "".join(f", {key}={value}" for key, value in options.items())
    return SEVEN % f", attack={{name='{name}', sites={list(sites)}{more}}}"


def study_of(setting: str) -> Study:
    return load("quick", overrides=[setting])


def test_only_training_rows_of_bad_sites_are_mislabelled(tmp_path: Path) -> None:
    study = study_of(attacking("label-flip", "site-2", "site-5"))
    true = read_sites(study, tmp_path)
    wrong = poisoned(true, study, attacks_of(study, true))
    for site in true:
        flipped = np.flatnonzero(true[site].labels != wrong[site].labels)
        wanted = split_of(true[site], study).train if site in ("site-2", "site-5") else []
        assert sorted(flipped) == sorted(wanted)


def test_a_bad_site_that_is_none_of_the_sites_is_an_error() -> None:
    with pytest.raises(StudyError, match=r"simulation.attack.sites: 'z' is none of the sites: a, b"):
        attacks_of(study_of(attacking("nan", "z")), ["b", "a"])


@pytest.mark.parametrize(("labels", "classes"), [(np.zeros((4, 3), np.int64), 3), (np.zeros(4), 0)])
def test_labels_of_another_kind_cannot_be_flipped(labels: Labels, classes: int) -> None:
    (attack,) = attacks_of(study_of(attacking("label-flip", "a")), ["a"]).values()
    with pytest.raises(StudyError, match="'label-flip' needs a task with one class per row"):
        attack.mislabelled(labels, classes=classes)


def test_an_attack_is_no_part_of_what_sites_agree_on() -> None:
    assert study_of(attacking("nan", "site-1")).digest == study_of(SEVEN % "").digest


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Results]:
    """Run two rounds over seven sites."""

    def played(strategy: str, setting: str, *overrides: str) -> Results:
        settings = [*FAST, setting, f"aggregation.name={strategy}", *overrides]
        return run("quick", out=tmp_path_factory.mktemp("run") / "out", overrides=settings, comparison=False)

    return played


@dataclass(frozen=True)
class Run:
    """What is compared of a run."""

    adapter: AdapterState
    statuses: list[str]


def seen(results: Results) -> Run:
    shares: dict[str, Any] = results.content["rounds"][0]["participation"]
    adapter = load_file(results.adapter / "adapter.safetensors")
    return Run(adapter, [shares[site]["status"] for site in sorted(shares)])


def test_a_robust_run_is_near_the_honest_one_where_a_mean_is_not(play: Callable[..., Results]) -> None:
    bad = attacking("scaling", "site-3")
    honest, lost = (seen(play("fedavg", setting)).adapter for setting in (SEVEN % "", bad))
    robust = seen(play("geometric-median", bad)).adapter
    heads = [{n: a for n, a in state.items() if n.startswith("head.")} for state in (honest, lost, robust)]
    assert norm(subtract(heads[1], heads[0])) > 10 * norm(subtract(heads[2], heads[0]))


def test_a_site_that_would_send_nan_does_not_count(play: Callable[..., Results]) -> None:
    found = seen(play("median", attacking("nan", "site-1")))
    # Its own software stops it first; sent in spite of that, the server refuses it (test_run_bad_sites.py).
    assert found.statuses == ["failed", *["accepted"] * 6]
    assert all(np.isfinite(array).all() for array in found.adapter.values())


def test_a_rule_that_needs_more_sites_says_so_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="'multi-krum' needs 5 sites in a round with these options, and 3 take part"):
        run("quick", out=tmp_path / "out", overrides=["aggregation.name=multi-krum"], comparison=False)
    assert not (tmp_path / "out").exists()
