"""The table of methods: every method has a row, and what was measured is not measured again."""

import json
from pathlib import Path

import pytest

from common import plugins
from simulations.bench import methods
from simulations.bench.methods import METHODS, main, row_of, study_of, write_page


def test_every_method_has_a_row_and_its_options_are_valid() -> None:
    assert set(plugins.available("common.peft_methods")) <= set(METHODS)
    for name, (_, rates) in METHODS.items():
        study = study_of(name, rates[0], 1, 2)
        assert (study.evaluation.split_seed, study.federation.rounds) == (1, 2)
        assert study.training.learning_rate == rates[0]


def kept(out: Path, name: str = "ia3", rate: float = 0.01) -> None:
    out.mkdir(exist_ok=True)
    parameters = {"trainable": 16898, "fraction": 0.00074, "aggregates_linearly": False}
    for each, loss in {0.003: 0.7, 0.01: 0.5, 0.03: 0.6}.items():
        (out / f"{name}-rate-{each:g}.json").write_text(json.dumps({"validation_log_loss": loss}))
    for split, auroc in enumerate((0.8, 0.9, 0.85)):
        content = {"auroc": auroc, "bytes": 68000, "parameters": parameters}
        (out / f"{name}-split-{split}-{rate:g}.json").write_text(json.dumps(content))
    (out / f"{name}-epoch.json").write_text(json.dumps({"seconds_per_epoch": 3.25, "peak_mb": 901.2}))


def test_what_is_kept_is_not_measured_again_and_the_best_rate_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept(tmp_path / "out")
    page = tmp_path / "page.md"
    page.write_text(f"above\n{methods.START}\nold\n{methods.END}\nbelow\n")
    assert main(["--out", str(tmp_path / "out"), "--page", str(page), "ia3"]) == 0
    row = "| ia3 | 16,898 | 0.07 % | 68 kB | 901 MB | 3.2 | 0.01 | 0.850 (0.800 to 0.900) | approximate |"
    assert capsys.readouterr().out.strip() == row == row_of("ia3", tmp_path / "out")
    lines = page.read_text().splitlines()
    assert lines[:2] == ["above", methods.START]
    assert lines[-3:] == [row, methods.END, "below"]


def test_the_page_has_the_marks_between_which_the_table_goes(tmp_path: Path) -> None:
    page = Path(methods.__file__).parents[2] / "docs" / "methods.md"
    assert page.read_text().count(methods.START) == page.read_text().count(methods.END) == 1
    copy = tmp_path / "methods.md"
    copy.write_text(page.read_text())
    write_page(copy, tmp_path)
    assert "old" not in copy.read_text()


def test_an_unknown_method_is_answered_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["lorra"])
    assert "there is no method 'lorra'; there are: lora, prefix" in capsys.readouterr().err
