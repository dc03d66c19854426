"""A whole run that ends before its last round, in this process: sites answer its closing, and results say why."""

import json
from pathlib import Path
from typing import Any

import pytest

from server.events import Event, RoundFinished
from simulations.results import Results
from simulations.run import run

# Steps too small to change a rank: no round's AUROC is better than the first one's.
STILL = ("training.local_epochs=1", "training.learning_rate=1e-9", "evaluation.resamples=10", "federation.rounds=6")
PATIENCE = ("federation.patience=1", "evaluation.keep='best'")


class Interrupted(Exception):
    """What ends a run from outside."""


def played(out: Path, *overrides: str, **options: Any) -> Results:
    return run("quick", out=out, overrides=[*STILL, *overrides], comparison=False, **options)


def content(results: Results) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((results.folder / "results.json").read_text())
    return found


def test_a_run_that_stands_still_ends_after_three_rounds_with_the_first(tmp_path: Path) -> None:
    """Round 2 is known not to be better when round 3 has been answered."""
    found = content(played(tmp_path / "out", *PATIENCE))
    assert len(found["rounds"]) == 3
    assert found["kept_round"] == 1
    assert found["stopped_early"].startswith("pooled auroc was not better than round 1's ")
    assert {entry["status"] for entry in found["closing"]["participation"].values()} == {"accepted"}
    assert found["rounds"][2]["validation"] is not None
    report = (tmp_path / "out" / "report.html").read_text()
    assert "was not better than round 1" in report


def test_a_resumed_run_ends_there_too_with_the_same_adapter(tmp_path: Path) -> None:
    whole = played(tmp_path / "whole", *PATIENCE)

    def interrupt(event: Event) -> None:
        if isinstance(event, RoundFinished) and event.round == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        played(tmp_path / "cut", *PATIENCE, progress=interrupt)
    again = played(tmp_path / "cut", *PATIENCE, resume=True)
    assert (again.adapter / "adapter.safetensors").read_bytes() == (whole.adapter / "adapter.safetensors").read_bytes()
    assert content(again)["stopped_early"] == content(whole)["stopped_early"]


def test_without_patience_nothing_is_said(tmp_path: Path) -> None:
    found = content(played(tmp_path / "out", "federation.rounds=2"))
    assert found["stopped_early"] is None
    assert len(found["rounds"]) == 2
