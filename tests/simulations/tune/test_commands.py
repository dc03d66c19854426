"""`fedpeft tune` from outside: its table, its files, and what it refuses in one line."""

import sys
from pathlib import Path

import pytest

from common.command import main

QUICK = ["tune", "quick", "--set", "federation.rounds=1", "--set", "training.local_epochs=1", "--trials", "2"]
RATE = ["--param", "training.learning_rate=0.01..0.05:log"]


def test_a_search_says_its_best_and_how_to_run_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*QUICK, *RATE, "--out", str(out)])
    said = capsys.readouterr()
    assert f"fedpeft simulate {out / 'best.toml'}" in said.out
    assert "2 complete; validation rows were looked at 4 times, test rows never to choose" in said.out
    assert "2/2 training.learning_rate=" in said.err
    assert main([*QUICK, *RATE, "--out", str(out)]) == 2
    assert "holds a search already; go on with --resume" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to vary: give --space FILE"),
        (["--param", "training.rate=1..2"], "search space: training.rate: unknown key"),
        ([*RATE, "--objective", "auc"], "--objective 'auc' is no metric"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*QUICK, *words, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"fedpeft: {message}")
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_without_optuna_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main([*QUICK, *RATE, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.endswith("pip install 'fedpeft[tune]'\n")
