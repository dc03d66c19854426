"""Whole runs with site-level privacy: played, stopped and resumed, with the ledger in what is published."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.command import main
from common.privacy._accounting import Spending, epsilon_of
from server.events import Event, RoundFinished
from simulations.results import Results
from simulations.run import run

ON = (
    "privacy.mechanism=site-dp",
    "aggregation.weighting=uniform",
    "training.local_epochs=1",
    "evaluation.resamples=10",
    "federation.rounds=3",
)


class Stop(Exception):
    """What ends a run from outside, as Ctrl-C does."""


def after_round(number: int) -> Callable[[Event], None]:
    def progress(event: Event) -> None:
        if isinstance(event, RoundFinished) and event.round == number:
            raise Stop

    return progress


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    out = tmp_path_factory.mktemp("noised") / "out"
    return run("quick", out=out, overrides=[*ON, "privacy.noise_multiplier=0.8"], comparison=False)


def test_results_have_what_was_spent_and_no_figure_of_a_single_update(results: Results) -> None:
    found = json.loads((results.folder / "results.json").read_text())
    privacy = found["privacy"]
    assert (privacy["unit"], privacy["rounds"], privacy["noise_multiplier"]) == ("site", 3, 0.8)
    assert privacy["epsilon"] == privacy["epsilon_planned"] == epsilon_of([Spending(0.8, 1.0, 3)], delta=1e-5)
    assert privacy["sensitivity"] == pytest.approx(1 / 3)
    for record in found["rounds"]:
        assert record["diagnostics"]["update_norms"] == record["diagnostics"]["cosines"] == {}
    for page in ("report.html", "adapter/README.md"):
        text = (results.folder / page).read_text()
        assert "Differential privacy of whole hospitals" in text
        assert "usually useless" in text


def test_a_stopped_run_goes_on_with_its_ledger(tmp_path: Path) -> None:
    options: dict[str, Any] = {"out": tmp_path / "run", "overrides": ON, "comparison": False}
    with pytest.raises(Stop):
        run("quick", progress=after_round(2), **options)
    state = json.loads(next((tmp_path / "run" / "checkpoint").glob("round-*/state.json")).read_text())
    assert [each["steps"] for each in state["spent"]] == [2]
    resumed = run("quick", resume=True, **options)
    assert resumed.content["privacy"]["rounds"] == 3
    assert resumed.content["privacy"]["epsilon"] == pytest.approx(8.0, rel=2e-3)
    assert resumed.content["privacy"]["epsilon"] <= 8.0


def test_a_study_that_it_does_not_go_with_ends_with_2_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for setting in (*ON, "aggregation.name=median") for word in ("--set", setting)]
    assert main(["study", "check", "quick", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'site-dp' reveals their sum only; expected a strategy that a sum is enough for: fed" in line
